// The alerts that stand, the newest first; a row chooses its cell.

import { byId, make, setText } from "./dom.js";
import { count, flag, instant } from "./format.js";
import { mark } from "./table.js";

export class AlertPanel {
  constructor(onSelect) {
    this.selected = null;
    this.body = byId("alerts");
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) onSelect(row.dataset.pack, Number(row.dataset.cell));
    });
  }

  show({ standing, newest }) {
    while (this.body.rows.length > newest.length) this.body.deleteRow(-1);
    while (this.body.rows.length < newest.length) this.body.append(blank());
    newest.forEach((alert, at) => fill(this.body.rows[at], alert, this.selected));
    const stand = total(standing);
    const more = stand > newest.length ? `the newest ${count(newest.length)} of ${count(stand)}` : `${count(stand)}, the newest first`;
    setText(byId("alerts-note"), stand ? more : "no alert stands");
  }

  select(pack, cell) {
    this.selected = `${pack}/${cell}`;
    for (const row of this.body.rows) mark(row, this.selected);
  }
}

export const total = (standing) => Object.values(standing).reduce((sum, one) => sum + one, 0);

// Rows are kept and refilled, as those of the cells to look at.
function blank() {
  const row = make("tr", {}, ...["kind", "cell", "since", "reason"].map((className) => make("td", { className })));
  row.cells[1].append(make("button", { type: "button" }));
  return row;
}

function fill(row, alert, selected) {
  row.dataset.pack = alert.pack_id;
  row.dataset.cell = alert.cell;
  setText(row.cells[0], flag(alert.kind));
  setText(row.cells[1].firstChild, `${alert.pack_id} · ${alert.cell}`);
  setText(row.cells[2], instant(alert.t_ms));
  setText(row.cells[3], alert.reason);
  mark(row, selected);
}
