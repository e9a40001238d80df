// The page's copy of the fleet: values by pack and cell, and what is derived from them.

import { HARMLESS, known } from "./format.js";

const byName = new Intl.Collator("en", { numeric: true }).compare;

function median(values) {
  const sorted = values.filter(known).sort((a, b) => a - b);
  if (!sorted.length) return null;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export class Fleet {
  constructor() {
    this.packs = new Map();
    this.flagNames = [];
    this.harmless = 0;
    this.seq = -1;
    this.largest = 0;
  }

  load(snapshot) {
    this.packs = new Map(Object.entries(snapshot.packs).map(([id, pack]) => [id, { id, ...pack, stale: true }]));
    this.seq = snapshot.seq;
    this.names(snapshot.flag_names);
    this.largest = Math.max(0, ...[...this.packs.values()].map((pack) => pack.soh.length));
  }

  // Applies a delta that is newer than what is held. Tells whether a pack or a cell position is new.
  apply(delta) {
    if (delta.seq <= this.seq) return false;
    this.seq = delta.seq;
    this.names(delta.flag_names);
    let grown = false;
    for (const [id, cells] of Object.entries(delta.cells)) {
      let pack = this.packs.get(id);
      if (!pack) {
        pack = { id, soh: [], rul_cycles: [], flags: [] };
        this.packs.set(id, pack);
        grown = true;
      }
      for (const [cell, soh, rul, flags] of cells) {
        while (pack.soh.length <= cell) {
          pack.soh.push(null);
          pack.rul_cycles.push(null);
          pack.flags.push(0);
          grown = true;
        }
        pack.soh[cell] = soh;
        pack.rul_cycles[cell] = rul;
        pack.flags[cell] = flags;
      }
      pack.stale = true;
      this.largest = Math.max(this.largest, pack.soh.length);
    }
    return grown;
  }

  holds(pack, cell) {
    return cell < (this.packs.get(pack)?.soh.length ?? 0);
  }

  names(flagNames) {
    this.flagNames = flagNames;
    this.harmless = flagNames.reduce((bits, name, at) => bits | (HARMLESS.has(name) ? 1 << at : 0), 0);
  }

  flagged(bits) {
    return (bits & ~this.harmless) !== 0;
  }

  flags(bits) {
    return this.flagNames.filter((_, at) => bits & (1 << at));
  }

  // Median, weakest and spread of a pack, worked out again only after it changed.
  figures(pack) {
    if (pack.stale !== false) {
      const values = pack.soh.filter(known);
      pack.median = median(values);
      pack.weakest = values.reduce((a, b) => Math.min(a, b), Infinity);
      pack.spread = values.reduce((a, b) => Math.max(a, b), -Infinity) - pack.weakest;
      pack.stale = false;
    }
    return pack;
  }

  ordered(order) {
    const packs = [...this.packs.values()].map((pack) => this.figures(pack));
    const finite = (value) => (Number.isFinite(value) ? value : -1);
    packs.sort((a, b) => byName(a.id, b.id));
    if (order === "weakest") packs.sort((a, b) => a.weakest - b.weakest || 0);
    if (order === "spread") packs.sort((a, b) => finite(b.spread) - finite(a.spread));
    return packs;
  }
}
