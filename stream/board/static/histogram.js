// How many cells have which SOH, with the end-of-life line.

import { byId, draw, setText } from "./dom.js";
import { count, percent } from "./format.js";

const LOWEST = 210;
const [LEFT, RIGHT, TOP, BOTTOM] = [6, 6, 22, 22];

export class HistogramPanel {
  constructor() {
    this.box = byId("histogram");
    this.shown = null;
    new ResizeObserver(() => this.shown && this.show(...this.shown)).observe(this.box);
  }

  show(histogram, summary) {
    this.shown = [histogram, summary];
    const wide = this.box.clientWidth;
    const tallest = Math.max(LOWEST, this.box.clientHeight);
    const { low, width, counts } = histogram;
    const used = counts.map((value, at) => (value ? at : -1)).filter((at) => at >= 0);
    if (!used.length || !wide) return this.box.replaceChildren();
    const eol = Math.round((summary.eol_soh - low) / width);
    const first = Math.max(0, Math.min(used[0] - 1, eol - 2));
    const last = Math.min(counts.length - 1, Math.max(used[used.length - 1] + 1, Math.round((1 - low) / width)));
    const most = Math.max(...counts);
    const step = (wide - LEFT - RIGHT) / (last - first + 1);
    const x = (bin) => LEFT + (bin - first) * step;
    const high = tallest - TOP - BOTTOM;
    const parts = [draw("line", { class: "base", x1: LEFT, x2: wide - RIGHT, y1: tallest - BOTTOM, y2: tallest - BOTTOM })];
    for (let bin = first; bin <= last; bin++) {
      if (!counts[bin]) continue;
      const tall = Math.max((counts[bin] / most) * high, 1.5);
      const name = `${percent(low + bin * width, 0)} to ${percent(low + (bin + 1) * width, 0)}: ${count(counts[bin])} cells`;
      parts.push(draw("rect", { class: bin < eol ? "weak" : "", x: x(bin) + 0.5, y: tallest - BOTTOM - tall, width: Math.max(step - 1, 1), height: tall }, draw("title", {}, name)));
      if (step > 6 + 6.5 * count(counts[bin]).length) parts.push(text(count(counts[bin]), x(bin + 0.5), tallest - BOTTOM - tall - 4));
    }
    const every = [1, 2, 5, 10, 20].find((some) => some * step > 44) ?? 50;
    for (let bin = first; bin <= last + 1; bin++) {
      const hundredth = Math.round(100 * (low + bin * width));
      if (hundredth % every === 0 && x(bin) > 10 && x(bin) < wide - 14) parts.push(text(`${hundredth} %`, x(bin), tallest - 6));
    }
    parts.push(draw("line", { class: "eol", x1: x(eol), x2: x(eol), y1: 4, y2: tallest - BOTTOM }));
    parts.push(text(`end of life ${percent(summary.eol_soh, 0)}`, x(eol) + 5, 13, "eol start"));
    this.box.replaceChildren(draw("svg", { width: wide, height: tallest, viewBox: `0 0 ${wide} ${tallest}`, "aria-hidden": "true" }, ...parts));
    const told = `${count(summary.cells_with_soh)} cells, median ${percent(summary.soh_median)}, ${count(summary.cells_below_eol)} below ${percent(summary.eol_soh, 0)}`;
    this.box.setAttribute("aria-label", `Histogram of SOH: ${told}`);
    setText(byId("histogram-note"), `median ${percent(summary.soh_median)}`);
  }
}

function text(content, x, y, kind = "") {
  return draw("text", { class: kind, x, y }, content);
}
