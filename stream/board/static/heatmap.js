// Packs as rows, cells as columns, on one canvas the size of what is visible: a thousand packs scroll smoothly.

import { css, scale } from "./colour.js";
import { byId, make, setText, sized } from "./dom.js";
import { count, flag, known, percent, points } from "./format.js";

const HEAD = 18;
const GAP = 18;
const [MIN_WIDTH, MAX_WIDTH] = [5, 96];
const [MIN_HEIGHT, MAX_HEIGHT] = [13, 58];

export class HeatMap {
  constructor(fleet, onSelect) {
    this.fleet = fleet;
    this.onSelect = onSelect;
    this.mode = "soh";
    this.order = "name";
    this.eol = 0.8;
    this.selected = null;
    this.cursor = null;
    this.packs = [];
    this.box = byId("map");
    this.canvas = this.box.querySelector("canvas");
    this.scroller = this.box.querySelector(".scroller");
    this.spacer = this.box.querySelector(".spacer");
    this.tip = byId("tip");
    this.scroller.addEventListener("scroll", () => this.soon());
    this.scroller.addEventListener("pointermove", (event) => this.hover(event));
    this.scroller.addEventListener("pointerleave", () => this.hide());
    this.scroller.addEventListener("click", (event) => this.click(event));
    this.scroller.addEventListener("keydown", (event) => this.key(event));
    this.scroller.addEventListener("focus", () => this.soon());
    this.scroller.addEventListener("blur", () => this.hide());
    new ResizeObserver(() => this.arrange()).observe(this.box);
  }

  // Decides the order and the geometry; then draws.
  arrange() {
    this.packs = this.fleet.ordered(this.order);
    const context = this.canvas.getContext("2d");
    context.font = this.font();
    const widest = this.packs.reduce((most, pack) => Math.max(most, context.measureText(pack.id).width), 0);
    this.label = Math.min(Math.ceil(widest) + 10, 130);
    const wide = this.scroller.clientWidth;
    const columns = Math.max(this.fleet.largest, 1);
    const fit = Math.floor((wide - this.label - 2) / columns);
    this.cellWidth = Math.min(Math.max(fit, MIN_WIDTH), MAX_WIDTH);
    this.block = this.label + columns * this.cellWidth + GAP;
    this.across = Math.max(1, Math.floor((wide + GAP) / this.block));
    this.lines = Math.ceil(this.packs.length / this.across);
    const fitHigh = Math.floor((this.box.clientHeight - HEAD - 4) / Math.max(this.lines, 1));
    this.cellHeight = Math.min(Math.max(fitHigh, MIN_HEIGHT), MAX_HEIGHT);
    const across = Math.min(this.across, Math.max(this.packs.length, 1));
    this.spacer.style.width = `${across * this.block - GAP}px`;
    this.spacer.style.height = `${HEAD + this.lines * this.cellHeight}px`;
    this.soon();
  }

  soon() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      this.paint();
    });
  }

  font(size = 11) {
    return `${size}px ${css("--font")}`;
  }

  // The value of a cell in the present mode and its place on the scale, 0 = weak, 1 = strong.
  value(pack, cell) {
    const soh = pack.soh[cell];
    if (!known(soh)) return null;
    if (this.mode === "soh") return { text: (100 * soh).toFixed(0), place: (soh - this.low) / (1 - this.low) };
    const deviation = soh - pack.median;
    return { text: (100 * deviation).toFixed(1).replace("-", "−"), place: 0.5 + deviation / (2 * this.reach) };
  }

  setScale() {
    this.low = Math.max(0, Math.round((this.eol - 0.1) * 20) / 20);
    let widest = 0;
    for (const pack of this.packs) {
      this.fleet.figures(pack);
      if (Number.isFinite(pack.spread)) widest = Math.max(widest, pack.median - pack.weakest);
    }
    this.reach = [0.01, 0.02, 0.05, 0.1, 0.2].find((reach) => reach >= widest * 0.8) ?? 0.2;
  }

  paint() {
    const [wide, high] = [this.scroller.clientWidth, this.scroller.clientHeight];
    if (!wide || !high) return;
    const context = sized(this.canvas, wide, high);
    this.setScale();
    const colour = scale(this.mode);
    const [left, top] = [this.scroller.scrollLeft, this.scroller.scrollTop];
    const ink = { text: css("--text"), muted: css("--muted"), line: css("--line"), surface: css("--surface") };
    context.clearRect(0, 0, wide, high);
    context.font = this.font();
    context.textBaseline = "middle";
    const first = Math.max(0, Math.floor(top / this.cellHeight) - 1);
    const last = Math.min(this.lines, Math.ceil((top + high) / this.cellHeight) + 1);
    for (let line = first; line < last; line++) {
      for (let block = 0; block < this.across; block++) {
        const pack = this.packs[line + block * this.lines];
        if (pack) this.paintPack(context, colour, ink, pack, block * this.block - left, HEAD + line * this.cellHeight - top);
      }
    }
    this.paintHead(context, ink, wide, left);
    this.paintLegend(colour, ink);
    this.paintMark(context, this.selected, ink.text, 2, left, top);
    if (document.activeElement === this.scroller) this.paintMark(context, this.cursor, css("--focus"), 3, left, top);
  }

  paintPack(context, colour, ink, pack, x, y) {
    const [width, height] = [this.cellWidth, this.cellHeight];
    const gap = width > 8 ? 1 : 0.5;
    const [small, large] = [this.font(), this.font(15)];
    context.font = small;
    context.textAlign = "left";
    context.fillStyle = this.selected?.pack === pack.id ? ink.text : ink.muted;
    context.fillText(short(context, pack.id, this.label - 8), x, y + height / 2);
    for (let cell = 0; cell < pack.soh.length; cell++) {
      const at = x + this.label + cell * width;
      if (at > this.canvas.clientWidth || at + width < 0) continue;
      const value = this.value(pack, cell);
      if (!value) {
        context.strokeStyle = ink.line;
        context.lineWidth = 1;
        context.strokeRect(at + 1, y + 1.5, width - 2, height - 3);
        continue;
      }
      const { fill, ink: contrast } = colour(value.place);
      context.fillStyle = fill;
      context.fillRect(at, y + gap, width - gap, height - 2 * gap);
      context.strokeStyle = context.fillStyle = contrast;
      if (width >= 26 && height >= 15) {
        context.font = value.text.length < 5 && width >= 44 && height >= 26 ? large : small;
        context.textAlign = "center";
        context.fillText(value.text, at + width / 2, y + height / 2 + 0.5);
      }
      if (pack.soh[cell] < this.eol) corner(context, at, y + height - gap, Math.min(width - gap, height - 2 * gap, 10));
      if (this.fleet.flagged(pack.flags[cell])) {
        context.beginPath();
        const dot = Math.min(Math.max(2.5, width / 16), width / 3);
        context.arc(at + width - Math.min(2 * dot, width / 2), y + Math.min(2 * dot, height / 2), dot, 0, 7);
        context.fill();
      }
    }
  }

  paintHead(context, ink, wide, left) {
    context.fillStyle = ink.surface;
    context.fillRect(0, 0, wide, HEAD);
    context.fillStyle = ink.muted;
    context.font = this.font();
    context.textAlign = "center";
    const every = [1, 2, 4, 6, 8, 12, 24, 48, 96, 192].find((step) => step * this.cellWidth >= 26) ?? 384;
    for (let block = 0; block < Math.min(this.across, this.packs.length); block++) {
      for (let cell = 0; cell < this.fleet.largest; cell += every) {
        const x = block * this.block + this.label + (cell + 0.5) * this.cellWidth - left;
        context.fillText(String(cell), x, HEAD / 2);
      }
    }
  }

  paintLegend(colour, ink) {
    const canvas = byId("legend").querySelector("canvas");
    const wide = Math.min(260, byId("legend").clientWidth);
    const context = sized(canvas, wide, 30);
    context.clearRect(0, 0, wide, 30);
    for (let x = 0; x < wide; x++) {
      context.fillStyle = colour(x / (wide - 1)).fill;
      context.fillRect(x, 0, 1.5, 12);
    }
    const ends =
      this.mode === "soh"
        ? [`≤ ${percent(this.low, 0)}`, percent((1 + this.low) / 2, 0), "100 %"]
        : [`≤ ${points(-this.reach, 0)}`, "median", `≥ ${points(this.reach, 0)}`];
    context.font = this.font();
    context.fillStyle = ink.muted;
    context.textBaseline = "middle";
    ends.forEach((text, at) => {
      context.textAlign = ["left", "center", "right"][at];
      context.fillText(text, (at * wide) / 2, 22);
    });
    setText(byId("legend-eol"), `below ${percent(this.eol, 0)}`);
  }

  paintMark(context, mark, colour, weight, left, top) {
    const box = mark && this.place(mark);
    if (!box) return;
    context.strokeStyle = colour;
    context.lineWidth = weight;
    context.strokeRect(box.x - left - 0.5, box.y - top, this.cellWidth, this.cellHeight);
  }

  place({ pack, cell }) {
    const index = this.packs.findIndex((one) => one.id === pack);
    if (index < 0) return null;
    const [block, line] = [Math.floor(index / this.lines), index % this.lines];
    return { x: block * this.block + this.label + cell * this.cellWidth, y: HEAD + line * this.cellHeight };
  }

  at(event) {
    const bounds = this.scroller.getBoundingClientRect();
    const inside = event.clientY - bounds.top;
    if (inside < HEAD) return null;
    const x = event.clientX - bounds.left + this.scroller.scrollLeft;
    const line = Math.floor((inside + this.scroller.scrollTop - HEAD) / this.cellHeight);
    const block = Math.floor(x / this.block);
    const cell = Math.floor((x - block * this.block - this.label) / this.cellWidth);
    const pack = line < this.lines && block < this.across ? this.packs[line + block * this.lines] : null;
    return pack && cell >= 0 && cell < pack.soh.length ? { pack: pack.id, cell } : null;
  }

  hover(event) {
    const found = this.at(event);
    if (!found) return this.hide();
    this.show(found, event.clientX, event.clientY);
  }

  show({ pack: id, cell }, x, y) {
    const pack = this.fleet.figures(this.fleet.packs.get(id));
    const soh = pack.soh[cell];
    const lines = [`SOH ${percent(soh, 2)}`];
    if (known(soh)) lines.push(`${points(soh - pack.median)} vs pack median ${percent(pack.median)}`);
    if (known(pack.rul_cycles[cell])) lines.push(`RUL ${count(pack.rul_cycles[cell])} cycles`);
    if (pack.flags[cell]) lines.push(this.fleet.flags(pack.flags[cell]).map(flag).join(", "));
    this.tip.replaceChildren(make("b", { textContent: `${id} · cell ${cell}` }), ...lines.map((text) => make("span", { textContent: text })));
    this.tip.hidden = false;
    const [wide, high] = [this.tip.offsetWidth, this.tip.offsetHeight];
    this.tip.style.left = `${Math.max(4, Math.min(x + 14, window.innerWidth - wide - 8))}px`;
    this.tip.style.top = `${y + 18 + high > window.innerHeight ? y - high - 10 : y + 18}px`;
  }

  hide() {
    this.tip.hidden = true;
    this.soon();
  }

  click(event) {
    const found = this.at(event);
    if (!found) return;
    this.cursor = found;
    this.onSelect(found.pack, found.cell);
  }

  select(pack, cell) {
    this.selected = { pack, cell };
    this.soon();
  }

  key(event) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], PageUp: [-10, 0], PageDown: [10, 0], Home: [0, -1e6], End: [0, 1e6] };
    const start = this.cursor ?? this.selected ?? { pack: this.packs[0]?.id, cell: 0 };
    if ((event.key === "Enter" || event.key === " ") && start.pack) {
      event.preventDefault();
      this.onSelect(start.pack, start.cell);
      return;
    }
    const move = moves[event.key];
    if (!move || !this.packs.length) return;
    event.preventDefault();
    const row = this.packs.findIndex((pack) => pack.id === start.pack);
    const pack = this.packs[Math.min(Math.max(row + move[0], 0), this.packs.length - 1)];
    const cell = Math.min(Math.max(start.cell + move[1], 0), pack.soh.length - 1);
    this.cursor = { pack: pack.id, cell };
    this.reveal(this.cursor);
    setText(byId("spoken"), `${pack.id} cell ${cell}: SOH ${percent(pack.soh[cell])}, remaining life ${count(pack.rul_cycles[cell])} cycles`);
    this.soon();
  }

  reveal(mark) {
    const box = this.place(mark);
    const view = this.scroller;
    if (box.y < view.scrollTop + HEAD) view.scrollTop = box.y - HEAD;
    if (box.y + this.cellHeight > view.scrollTop + view.clientHeight) view.scrollTop = box.y + this.cellHeight - view.clientHeight;
    if (box.x < view.scrollLeft) view.scrollLeft = box.x - this.label;
    if (box.x + this.cellWidth > view.scrollLeft + view.clientWidth) view.scrollLeft = box.x + this.cellWidth - view.clientWidth;
    const bounds = view.getBoundingClientRect();
    this.show(mark, bounds.left + box.x - view.scrollLeft + this.cellWidth / 2, bounds.top + box.y - view.scrollTop);
  }
}

// A filled lower left corner: the sign of a cell past its end of life, whatever the colours.
function corner(context, x, y, size) {
  context.beginPath();
  context.moveTo(x, y - size);
  context.lineTo(x, y);
  context.lineTo(x + size, y);
  context.fill();
}

function short(context, text, wide) {
  if (context.measureText(text).width <= wide) return text;
  let kept = text;
  while (kept.length > 1 && context.measureText(`…${kept}`).width > wide) kept = kept.slice(1);
  return `…${kept}`;
}
