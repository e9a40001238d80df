// The row of numbers on top, and the state of the link and of the service.

import { total } from "./alerts.js";
import { byId, draw, make, setText } from "./dom.js";
import { age, count, flag, percent, rate } from "./format.js";

const SPARK_POINTS = 120;
const MOST_KINDS = 2;

export class Tiles {
  constructor() {
    this.tiles = new Map();
    this.rates = [];
    this.heard = 0;
    this.summary = null;
    setInterval(() => this.tick(), 500);
  }

  show(summary, service, alerts) {
    this.summary = summary;
    this.heard = performance.now();
    const { truth } = summary;
    const reporting = summary.cells_with_soh === summary.cells ? "all with a value" : `${count(summary.cells_with_soh)} with a value`;
    const hidden = summary.not_shown ? `; ${count(summary.not_shown)} predictions of cells beyond the board's limit` : "";
    this.tile("rate", "Predictions / s", rate(summary.predictions_per_s), `${count(summary.predictions)} so far`);
    this.tick();
    this.tile("cells", "Cells", count(summary.cells), summary.cells ? `in ${count(summary.packs)} packs, ${reporting}${hidden}` : "none so far");
    this.tile("median", "Median SOH", percent(summary.soh_median), "of all cells");
    this.tile("eol", `Below ${percent(summary.eol_soh, 0)}`, count(summary.cells_below_eol), "cells past end of life", summary.cells_below_eol > 0);
    this.tile("flagged", "Flagged", count(summary.cells_flagged), "cells that ask for a look", summary.cells_flagged > 0);
    if (alerts) this.alerts(alerts.standing);
    if (truth) this.tile("truth", "Error vs truth", `${(100 * truth.mae).toFixed(2)} pt`, `${percent(truth.coverage_90, 0)} inside the 90 % band`);
    setText(byId("model"), summary.model ?? "–");
    this.state(service);
  }

  alerts(standing) {
    const stand = total(standing);
    const kinds = Object.entries(standing).sort((a, b) => b[1] - a[1]).map(([kind, one]) => `${count(one)} ${flag(kind)}`);
    const most = kinds.slice(0, MOST_KINDS).join(", ") + (kinds.length > MOST_KINDS ? ", …" : "");
    this.tile("alerts", "Alerts", count(stand), most || "none stands", stand > 0);
  }

  // The rate, once a second, as a line of the last two minutes.
  spark(value) {
    this.rates.push(value);
    if (this.rates.length > SPARK_POINTS) this.rates.shift();
    const most = Math.max(...this.rates, 1e-9);
    const start = SPARK_POINTS - this.rates.length;
    const points = this.rates.map((one, at) => `${start + at},${21 - (20 * one) / most}`).join(" ");
    const svg = draw("svg", { viewBox: `0 0 ${SPARK_POINTS} 22`, preserveAspectRatio: "none", "aria-hidden": "true" }, draw("polyline", { points }));
    const tile = this.tiles.get("rate");
    tile.querySelector("svg")?.remove();
    tile.append(svg);
  }

  tick() {
    if (!this.summary) return;
    const since = (performance.now() - this.heard) / 1000;
    const seconds = this.summary.last_prediction_age_s;
    const old = seconds === null ? null : seconds + since;
    this.tile("age", "Last prediction", age(old), old === null ? "none so far" : "ago");
  }

  tile(key, name, value, note, warn = false) {
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = make("div", { id: `tile-${key}` }, make("dt"), make("dd", { className: "value" }), make("dd", { className: "note" }));
      this.tiles.set(key, tile);
      byId("tiles").append(tile);
    }
    [name, value, note].forEach((text, at) => setText(tile.children[at], text));
    tile.classList.toggle("warn", warn);
  }

  state(service) {
    const waiting = Object.entries(service.conditions).filter(([, part]) => !part.ok);
    const ready = byId("ready");
    const name = !service.alive ? "stuck" : service.ready ? "ready" : "waiting";
    ready.dataset.state = name;
    setText(ready, { ready: "✓ Ready", waiting: "… Not ready", stuck: "✕ Not alive" }[name]);
    const silent = Object.entries(service.heartbeats).filter(([, part]) => !part.ok);
    const why = [
      ...silent.map(([what, part]) => `${what}: silent for ${age(part.age_s)}`),
      ...waiting.map(([what, part]) => `${what}: ${part.detail}`),
    ];
    ready.title = why.join("\n") || "every part beats, every condition is met";
    const delivery = byId("delivery");
    delivery.hidden = !service.delivery;
    setText(delivery, service.delivery ?? "");
    const stuck = silent.map(([what, part]) => make("li", { textContent: `✕ ${what}: silent for ${age(part.age_s)}` }));
    const list = Object.entries(service.conditions).map(([what, part]) => make("li", { textContent: `${part.ok ? "✓" : "…"} ${what}: ${part.detail}` }));
    byId("conditions").replaceChildren(...stuck, ...(list.length ? list : [make("li", { textContent: "… the service has not said yet what it waits for" })]));
  }
}
