// The cells that ask for a look, by whichever measure is chosen.

import { byId, make, setText } from "./dom.js";
import { HARMLESS, count, flag, known, percent, points } from "./format.js";

const SHOWN = 40;
const suspect = (row) => row.flags.filter((name) => !HARMLESS.has(name));
const lowFirst = (value) => (known(value) ? value : Infinity);

const COLUMNS = [
  { key: "cell", title: "Cell", sort: null },
  { key: "soh", title: "SOH", sort: (row) => lowFirst(row.soh?.[1]) },
  { key: "rul", title: "Cycles left", sort: (row) => lowFirst(row.rul_cycles?.[1]) },
  { key: "trend", title: "Trend / 100", sort: (row) => lowFirst(row.trend_per_100) },
  { key: "flags", title: "Flags", sort: (row) => -suspect(row).length },
];

export class WeakestTable {
  constructor(onSelect) {
    this.onSelect = onSelect;
    this.rows = [];
    this.key = "soh";
    this.selected = null;
    for (const column of COLUMNS) {
      const head = make("th", { scope: "col", className: column.key });
      if (column.sort) {
        const button = make("button", { type: "button", textContent: column.title });
        button.addEventListener("click", () => this.sort(column.key));
        head.append(button);
      } else head.textContent = column.title;
      byId("columns").append(head);
      column.head = head;
    }
    byId("rows").addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) this.onSelect(row.dataset.pack, Number(row.dataset.cell));
    });
    this.sort("soh");
  }

  sort(key) {
    this.key = key;
    for (const column of COLUMNS) {
      if (!column.sort) continue;
      if (column.key === key) column.head.setAttribute("aria-sort", key === "flags" ? "descending" : "ascending");
      else column.head.removeAttribute("aria-sort");
    }
    this.paint();
  }

  show(rows) {
    this.rows = rows;
    this.paint();
  }

  select(pack, cell) {
    this.selected = `${pack}/${cell}`;
    for (const row of byId("rows").rows) mark(row, this.selected);
  }

  paint() {
    const { sort } = COLUMNS.find((column) => column.key === this.key);
    const chosen = this.rows
      .filter((row) => this.key !== "flags" || suspect(row).length)
      .map((row, at) => [sort(row), at, row])
      .sort((a, b) => (a[0] === b[0] ? a[1] - b[1] : a[0] - b[0]))
      .slice(0, SHOWN);
    const body = byId("rows");
    while (body.rows.length > chosen.length) body.deleteRow(-1);
    while (body.rows.length < chosen.length) body.append(blank());
    chosen.forEach(([, , row], at) => fill(body.rows[at], row, this.selected));
    const none = this.key === "flags" ? "no cell is flagged" : "no cell has a value yet";
    setText(byId("weakest-note"), chosen.length ? `the ${count(chosen.length)} worst by the chosen column` : none);
  }
}

// Rows are kept and refilled, so that a refresh neither loses the keyboard's place nor the reader's.
function blank() {
  const row = make("tr");
  for (const { key } of COLUMNS) row.append(make("td", { className: key }));
  row.cells[0].append(make("button", { type: "button" }));
  for (const at of [1, 2]) row.cells[at].append(make("b"), make("small"));
  return row;
}

function fill(row, value, selected) {
  row.dataset.pack = value.pack_id;
  row.dataset.cell = value.cell;
  setText(row.cells[0].firstChild, `${value.pack_id} · ${value.cell}`);
  const { soh, rul_cycles: rul } = value;
  setText(row.cells[1].firstChild, percent(soh?.[1]));
  setText(row.cells[1].lastChild, soh ? `${(100 * soh[0]).toFixed(1)} to ${(100 * soh[2]).toFixed(1)}` : "");
  setText(row.cells[2].firstChild, count(rul?.[1]));
  setText(row.cells[2].lastChild, rul ? `${count(rul[0])} to ${count(rul[2])}` : "");
  setText(row.cells[3], points(value.trend_per_100, 2));
  setText(row.cells[4], value.flags.map(flag).join(", "));
  mark(row, selected);
}

export function mark(row, selected) {
  row.classList.toggle("selected", `${row.dataset.pack}/${row.dataset.cell}` === selected);
}
