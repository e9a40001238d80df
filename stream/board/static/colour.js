// Colours of values. Both maps change steadily in lightness (sequential) or away from the middle (diverging), so that
// they read the same with any colour vision and in grey. What asks for attention stands out from the page.

const dark = window.matchMedia("(prefers-color-scheme: dark)");

const SEQUENTIAL = {
  dark: ["#1b3247", "#1d5068", "#24747c", "#4f9a78", "#a3b964", "#f4d35e", "#fff3b0"],
  light: ["#dfecf2", "#b3d4de", "#7fb4c6", "#4f8fb3", "#3d6598", "#41387a", "#3a0f52"],
};
const DIVERGING = {
  dark: ["#ffb454", "#b5702a", "#5c4430", "#2a333c", "#28506f", "#3585bd", "#7cc4ff"],
  light: ["#8a3f00", "#cf7a1e", "#f0c088", "#eceff2", "#a9cbe6", "#4a90c8", "#0b4f8a"],
};

export const onThemeChange = (callback) => dark.addEventListener("change", callback);

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const parse = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

function table(stops) {
  const rgb = stops.map(parse);
  return Array.from({ length: 256 }, (_, index) => {
    const place = (index / 255) * (rgb.length - 1);
    const low = Math.min(Math.floor(place), rgb.length - 2);
    const part = place - low;
    const mixed = rgb[low].map((value, channel) => Math.round(value + part * (rgb[low + 1][channel] - value)));
    const [r, g, b] = mixed;
    const light = 0.299 * r + 0.587 * g + 0.114 * b > 128;
    return { fill: `rgb(${r} ${g} ${b})`, ink: light ? "#10161d" : "#f2f6fa" };
  });
}

const tables = Object.fromEntries(
  ["dark", "light"].map((theme) => [theme, { soh: table(SEQUENTIAL[theme]), deviation: table(DIVERGING[theme]) }]),
);

// The colours of a mode: a function from a fraction of the scale (0 = weak, 1 = strong) to {fill, ink}.
export function scale(mode) {
  const colours = tables[dark.matches ? "dark" : "light"][mode];
  const last = colours.length - 1;
  return (fraction) => {
    const index = Math.round(Math.min(Math.max(fraction, 0), 1) * last);
    return colours[mode === "soh" ? last - index : index];
  };
}
