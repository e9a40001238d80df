// The fade of one cell: past median and 90 % band, the end-of-life line, and where the model sees it going.

import { css, onThemeChange } from "./colour.js";
import { byId, setText } from "./dom.js";
import { count, known, percent, range } from "./format.js";

const HEIGHT = 270;

export class Curve {
  constructor() {
    this.box = byId("curve");
    this.readout = byId("readout");
    this.plot = null;
    this.view = null;
    this.forecast = true;
    onThemeChange(() => this.rebuild());
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.box);
  }

  show(view) {
    const rebuild = !this.plot || view.x !== this.view?.x || !view.curve.truth !== !this.view?.curve.truth;
    this.view = view;
    if (rebuild) this.rebuild();
    else this.plot.setData(this.data());
    this.describe();
  }

  setForecast(on) {
    this.forecast = on;
    if (this.view) this.show(this.view);
  }

  size() {
    return { width: Math.max(this.box.clientWidth, 200), height: HEIGHT };
  }

  data() {
    const { x, p05, p50, p95, truth } = this.view.curve;
    return truth ? [x, p95, p05, p50, truth] : [x, p95, p05, p50];
  }

  rebuild() {
    if (!this.view) return;
    this.plot?.destroy();
    this.box.replaceChildren();
    const [line, grid, muted] = [css("--accent"), css("--grid"), css("--muted")];
    const font = `11px ${css("--font")}`;
    const axis = { stroke: muted, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 } };
    const bound = { stroke: css("--band-edge"), width: 1, points: { show: false } };
    const series = [{}, bound, bound, { stroke: line, width: 2, points: { show: this.view.curve.x.length < 2 } }];
    if (this.view.curve.truth) series.push({ stroke: css("--truth"), width: 1.5, dash: [5, 4], points: { show: false } });
    const options = {
      ...this.size(),
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, points: { size: 6 } },
      padding: [10, 14, 0, 0],
      scales: { x: { time: false, range: () => this.rangeX() }, y: { range: () => this.rangeY() } },
      axes: [
        { ...axis, label: this.view.x, labelFont: font, labelSize: 16, labelGap: 0, size: 28, space: 60 },
        { ...axis, size: 44, values: (_, ticks) => ticks.map((tick) => `${+(100 * tick).toFixed(1)} %`) },
      ],
      bands: [{ series: [1, 2], fill: css("--band") }],
      series,
      hooks: { draw: [(plot) => this.paint(plot)], setCursor: [(plot) => this.read(plot)] },
    };
    this.plot = new window.uPlot(options, this.data(), this.box);
  }

  now() {
    const { x } = this.view.curve;
    return x.length ? x[x.length - 1] : 0;
  }

  eol() {
    return this.view.prediction.rul_cycles?.eol_soh ?? 0.8;
  }

  rangeX() {
    const { x } = this.view.curve;
    const first = x.length ? x[0] : 0;
    const rul = this.view.prediction.rul_cycles;
    if (!this.forecast || !rul || this.view.prediction.soh?.p50 <= rul.eol_soh) return [first, Math.max(this.now(), first + 1)];
    return [first, this.now() + Math.max(1.15 * rul.p50, Math.min(1.05 * rul.p95, 2 * rul.p50), 1)];
  }

  rangeY() {
    const { p05, p95, truth } = this.view.curve;
    const values = [...p05, ...p95, ...(truth ?? [])].filter(known);
    if (this.forecast) values.push(...this.horizons().flatMap((one) => [one.low, one.high]));
    if (!values.length) return [this.eol() - 0.05, 1.05];
    const low = Math.min(...values, this.eol());
    const high = Math.max(...values);
    const room = Math.max(0.06 * (high - low), 0.005);
    return [low - room, high + room];
  }

  // Capacities ahead as SOH: the ratio of the two present medians is the nominal capacity.
  horizons() {
    const { soh, capacity_ah: capacity, horizons } = this.view.prediction;
    if (!soh || !capacity || !horizons || soh.p50 <= this.eol()) return [];
    const nominal = capacity.p50 / soh.p50;
    return horizons.map((one) => ({
      x: this.now() + one.cycles,
      low: one.capacity_ah.p05 / nominal,
      middle: one.capacity_ah.p50 / nominal,
      high: one.capacity_ah.p95 / nominal,
    }));
  }

  paint(plot) {
    const { ctx: context, bbox: box } = plot;
    const ratio = window.devicePixelRatio || 1;
    const [px, py] = [(x) => plot.valToPos(x, "x", true), (y) => plot.valToPos(y, "y", true)];
    const eol = this.eol();
    const path = (colour, width, dash, ...points) => {
      context.strokeStyle = colour;
      context.lineWidth = width * ratio;
      context.setLineDash(dash.map((part) => part * ratio));
      context.beginPath();
      points.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.stroke();
    };
    const dot = (colour, x, y, size) => {
      context.fillStyle = colour;
      context.beginPath();
      context.arc(x, y, size * ratio, 0, 7);
      context.fill();
    };
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.width, box.height);
    context.clip();
    path(css("--eol"), 1.5, [7, 4], [box.left, py(eol)], [box.left + box.width, py(eol)]);
    context.font = `${11 * ratio}px ${css("--font")}`;
    context.fillStyle = css("--eol");
    context.textAlign = "left";
    context.fillText(`end of life ${percent(eol, 0)}`, box.left + 6 * ratio, py(eol) - 5 * ratio);
    const { soh, rul_cycles: rul } = this.view.prediction;
    if (this.forecast && soh && soh.p50 > eol) {
      const ahead = this.horizons();
      const accent = css("--accent");
      let line = [[this.now(), soh.p50], ...ahead.map((one) => [one.x, one.middle])];
      if (rul && rul.p50 > 0) line = [...line.filter(([x]) => x < this.now() + rul.p50), [this.now() + rul.p50, eol]];
      path(accent, 1.5, [2, 4], ...line.map(([x, y]) => [px(x), py(y)]));
      for (const one of ahead) {
        path(accent, 1.5, [], [px(one.x), py(one.low)], [px(one.x), py(one.high)]);
        dot(accent, px(one.x), py(one.middle), 3);
      }
      if (rul && rul.p50 > 0) {
        const colour = css("--text");
        path(colour, 4, [], [px(this.now() + rul.p05), py(eol)], [px(this.now() + rul.p95), py(eol)]);
        dot(colour, px(this.now() + rul.p50), py(eol), 5);
      }
    }
    context.restore();
  }

  read(plot) {
    const at = plot.cursor.idx;
    const { x, p05, p50, p95, truth } = this.view.curve;
    if (!known(at) || !known(p50[at]) || plot.cursor.left < 0) return this.describe();
    const real = truth && known(truth[at]) ? `, true ${percent(truth[at], 2)}` : "";
    setText(this.readout, `${this.view.x} ${count(x[at])}: SOH ${percent(p50[at], 2)}, 90 % between ${range(p05[at], p95[at], (one) => percent(one, 2))}${real}`);
  }

  describe() {
    const { pack_id: pack, cell, curve, x } = this.view;
    const { soh, rul_cycles: rul } = this.view.prediction;
    const ends = curve.x.length ? `from ${x} ${count(curve.x[0])} to ${count(this.now())}` : "without values yet";
    const life = rul ? `; ${count(rul.p50)} cycles left, 90 % between ${range(rul.p05, rul.p95, count)}` : "";
    this.box.setAttribute("aria-label", `Fade curve of ${pack} cell ${cell} ${ends}; SOH ${percent(soh?.p50)}${life}`);
    const past = curve.truth ? "solid: median, band: 90 % interval, dashed: truth" : "solid: median, band: 90 % interval";
    setText(this.readout, this.forecast && rul && soh?.p50 > rul.eol_soh ? `${past}, dotted: forecast, bar: when it reaches end of life (90 %)` : past);
  }
}
