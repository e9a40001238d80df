// Everything about the selected cell: the headline, the curve, the figures. Fetched anew when the cell changed.

import { Curve } from "./curve.js";
import { byId, make, setText } from "./dom.js";
import { count, flag, instant, known, percent, points, range, span } from "./format.js";

const PAUSE_MS = 700;

export class CellPanel {
  constructor() {
    this.curve = new Curve();
    this.selected = null;
    byId("forecast").addEventListener("change", (event) => this.curve.setForecast(event.target.checked));
  }

  async select(pack, cell) {
    this.selected = { pack, cell };
    setText(byId("cell-title"), `${pack} · cell ${cell}`);
    await this.refresh();
  }

  // Called with what changed; many changes in a short time are one fetch.
  changed({ cells, alerts }) {
    const { pack, cell } = this.selected ?? {};
    if (this.timer || !(alerts || cells[pack]?.some(([one]) => one === cell))) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.refresh();
    }, PAUSE_MS);
  }

  async refresh() {
    if (!this.selected) return;
    const { pack, cell } = this.selected;
    try {
      const response = await fetch(`api/cell/${encodeURIComponent(pack)}/${cell}`);
      if (!response.ok) return;
      const view = await response.json();
      if (this.selected.pack === pack && this.selected.cell === cell) this.show(view);
    } catch {
      // The link says that the server is away; the next change asks again.
    }
  }

  show(view) {
    const { soh, rul_cycles: rul, flags } = view.prediction;
    const part = (label, value, band) =>
      make("div", {}, make("span", { className: "label", textContent: label }), make("b", { textContent: value }), make("span", { className: "band", textContent: band }));
    byId("headline").replaceChildren(
      part("State of health", percent(soh?.p50), soh ? `90 % between ${range(soh.p05, soh.p95, percent)}` : "no value yet"),
      part("Remaining life", rul ? `${count(rul.p50)} cycles` : "–", life(soh, rul)),
    );
    byId("standing").replaceChildren(...view.alerts.map(standing));
    this.curve.show(view);
    byId("figures").replaceChildren(...figures(view).map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
    byId("headline").dataset.flagged = flags.length > 0;
  }
}

function standing(alert) {
  return make("li", {}, make("b", { textContent: flag(alert.kind) }), ` since ${instant(alert.t_ms)}: ${alert.reason}`);
}

function life(soh, rul) {
  if (!rul) return soh ? "this model gives none" : "no value yet";
  if (soh && soh.p50 < rul.eol_soh) return `past end of life (${percent(rul.eol_soh, 0)})`;
  return `90 % between ${range(rul.p05, rul.p95, count)}`;
}

function figures({ prediction, trend_per_100: trend, pack_soh_median: median, x }) {
  const { soh, capacity_ah: capacity, rul_cycles: rul, horizons, flags, source } = prediction;
  const ah = (one) => `${one.p50.toFixed(3)} Ah (${span(one.p05, one.p95, (value) => value.toFixed(3))})`;
  const step = prediction.cycle ?? prediction.step;
  const rows = [];
  if (flags.length) rows.push(["Flags", flags.map(flag).join(", ")]);
  if (soh) rows.push(["SOH", `${percent(soh.p50, 2)} (${span(soh.p05, soh.p95, (value) => percent(value, 2))})`]);
  if (soh && known(median)) rows.push(["vs pack", `${points(soh.p50 - median, 2)} (median ${percent(median, 2)})`]);
  if (known(trend)) rows.push(["Trend", `${points(trend, 2)} per 100 ${x}s`]);
  if (capacity) rows.push(["Capacity", ah(capacity)]);
  for (const one of horizons ?? []) rows.push([`in ${count(one.cycles)} cycles`, ah(one.capacity_ah)]);
  if (rul && !(soh?.p50 < rul.eol_soh)) rows.push([`SOH ${percent(rul.eol_soh, 0)} at`, `cycle ${count(step + rul.p50)} (${span(step + rul.p05, step + rul.p95, count)})`]);
  if (known(prediction.p_warranty)) rows.push(["Warranty risk", percent(prediction.p_warranty)]);
  rows.push(["Last step", `${x} ${count(step)}, ${instant(prediction.t_ms)}`]);
  rows.push(["Source", `${source.topic} [${source.partition}] @ ${source.offset}`]);
  return rows;
}
