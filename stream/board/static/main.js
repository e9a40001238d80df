// Puts the parts together: the link feeds the fleet, the fleet feeds the panels, a selection goes to all of them.

import { AlertPanel } from "./alerts.js";
import { CellPanel } from "./cell.js";
import { onThemeChange } from "./colour.js";
import { byId, setText } from "./dom.js";
import { Fleet } from "./fleet.js";
import { HeatMap } from "./heatmap.js";
import { HistogramPanel } from "./histogram.js";
import { Link } from "./link.js";
import { WeakestTable } from "./table.js";
import { Tiles } from "./tiles.js";

const REORDER_MS = 2000;
const SPARK_MS = 1000;

const fleet = new Fleet();
const tiles = new Tiles();
const cell = new CellPanel();
const histogram = new HistogramPanel();
const map = new HeatMap(fleet, select);
const table = new WeakestTable(select);
const alerts = new AlertPanel(select);

let boot = null;
let loading = false;
let held = [];
let chosenByHand = false;
let sparked = 0;
let reordered = 0;

function select(pack, index, byHand = true) {
  if (!fleet.holds(pack, index)) return; // an alert outlives the predictions of its cell
  chosenByHand ||= byHand;
  if (byHand) history.replaceState(null, "", `#${encodeURIComponent(pack)}/${index}`);
  map.select(pack, index);
  table.select(pack, index);
  alerts.select(pack, index);
  cell.select(pack, index);
}

function show(update) {
  const { summary, service } = update;
  tiles.show(summary, service, update.alerts);
  if (Date.now() - sparked >= SPARK_MS) {
    sparked = Date.now();
    tiles.spark(summary.predictions_per_s);
  }
  map.eol = summary.eol_soh;
  const empty = summary.cells === 0;
  byId("empty").hidden = !empty;
  byId("board").hidden = empty;
  if (update.histogram) histogram.show(update.histogram, summary);
  if (update.alerts) alerts.show(update.alerts);
  if (update.weakest) {
    table.show(update.weakest);
    if (!chosenByHand && !cell.selected) selectFirst(update.weakest);
  }
}

// A link may name a cell; else the weakest one is shown.
function selectFirst(rows) {
  const [, pack, index] = location.hash.match(/^#(.+)\/(\d+)$/) ?? [];
  if (pack && fleet.holds(decodeURIComponent(pack), Number(index))) select(decodeURIComponent(pack), Number(index));
  else if (rows.length) select(rows[0].pack_id, rows[0].cell, false);
}

async function load() {
  if (loading) return;
  loading = true;
  try {
    const response = await fetch("api/fleet");
    if (!response.ok) throw new Error(`api/fleet: ${response.status}`);
    const snapshot = await response.json();
    boot = snapshot.boot;
    fleet.load(snapshot);
    show(snapshot);
    map.arrange();
    cell.refresh();
    const later = held;
    held = [];
    loading = false;
    later.forEach(apply);
  } catch {
    loading = false;
    setTimeout(load, 1000);
  }
}

// Until the snapshot is here, deltas wait; those it already holds are dropped by their number.
function apply(delta) {
  if (loading || delta.boot !== boot) {
    held.push(delta);
    held = held.slice(-100);
    return;
  }
  const grown = fleet.apply(delta);
  show(delta);
  cell.changed(delta);
  const moved = map.order !== "name" && Date.now() - reordered > REORDER_MS;
  if (grown || moved) {
    reordered = Date.now();
    map.arrange();
  } else map.soon();
}

const LINK = { live: () => "● Live", reconnecting: (wait) => `↻ Reconnecting, next try in ${(wait / 1000).toFixed(1)} s` };

const link = new Link({
  state(name, wait) {
    document.body.dataset.link = name;
    setText(byId("link"), LINK[name](wait));
  },
  hello: () => load(),
  delta: apply,
  resync: () => load(),
});

for (const radio of document.querySelectorAll("input[name=mode]")) {
  radio.addEventListener("change", () => {
    map.mode = radio.value;
    map.soon();
  });
}
byId("order").addEventListener("change", (event) => {
  map.order = event.target.value;
  map.arrange();
});
window.addEventListener("hashchange", () => selectFirst([]));
onThemeChange(() => map.soon());
link.open();
