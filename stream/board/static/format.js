// Numbers as people read them. A missing value is an en dash everywhere.

const NONE = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

export const percent = (fraction, digits = 1) => (known(fraction) ? `${(100 * fraction).toFixed(digits)} %` : NONE);

export const points = (fraction, digits = 1) => {
  if (!known(fraction)) return NONE;
  const text = Math.abs(100 * fraction).toFixed(digits);
  const sign = Number(text) === 0 ? "±" : fraction < 0 ? "−" : "+";
  return `${sign}${text} pt`;
};

export const count = (value) => (known(value) ? whole.format(value) : NONE);

export const rate = (value) => {
  if (!known(value)) return NONE;
  return value >= 100 ? whole.format(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
};

export const age = (seconds) => {
  if (!known(seconds)) return NONE;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
};

export const range = (low, high, show) => `${show(low)} and ${show(high)}`;

export const span = (low, high, show) => `${show(low)} to ${show(high)}`;

export const instant = (ms) => new Date(ms).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");

export const flag = (name) => name.replaceAll("_", " ");

// Flags that ask for no look: a short history, an end of life too far to see.
export const HARMLESS = new Set(["insufficient_data", "censored"]);
