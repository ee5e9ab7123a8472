// needs: core.js
/* How numbers, times and headings are written. */

/** A number with about four digits that count. */
EV.number = (value) => {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 100000 || (size > 0 && size < 0.001)) return EV.digits(0, 6).format(Number(value.toPrecision(4)));
  const digits = EV.decimalsOf(size);
  return EV.digits(Number.isInteger(value) ? 0 : digits, digits).format(value);
};

/** Decimals that leave about four digits that count. */
EV.decimalsOf = (size) => size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4;

EV.formats = new Map(); // making one takes longer than using it
EV.digits = (least, most) => {
  const key = 10 * least + most;
  if (!EV.formats.has(key)) {
    EV.formats.set(key, new Intl.NumberFormat("en-GB", { minimumFractionDigits: least, maximumFractionDigits: most }));
  }
  return EV.formats.get(key);
};

EV.ordinal = (n) =>
  `${n}${{ one: "st", two: "nd", few: "rd" }[new Intl.PluralRules("en-GB", { type: "ordinal" }).select(n)] || "th"}`;

EV.when = (seconds) =>
  seconds && Number.isFinite(seconds)
    ? new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC"
    : "–";

EV.duration = (seconds) => {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} days`;
};

/** A column's heading; its target is named where the study has several. */
EV.heading = (key, { unit = true } = {}) => {
  const texts = {
    label: "Trial",
    digest: "Digest",
    status: "Status",
    origin: "Origin",
    mixers: "Mixer",
    blocks: "Block",
    dims: "Dims",
    depths: "Depths",
    changed: "Changed",
    phases: "Phases",
    error: "Reason",
  };
  if (texts[key]) return texts[key];
  const column = EV.data && EV.data.numbers.get(key);
  if (!column) return key;
  const place = column.target && EV.about.targets.length > 1 ? ` on ${EV.shortTarget(column.target)}` : "";
  return `${column.label}${unit && column.unit ? `, ${column.unit}` : ""}${place}`;
};

/** A target by the parts of its name that tell it from the study's others. */
EV.shortTarget = (target) => EV.about.places[target] || target;

/** A cell's text. */
EV.cell = (key, row) => {
  if (key in EV.data.text) return EV.data.text[key][row];
  const column = EV.data.numbers.get(key);
  const value = column ? column.values[row] : NaN;
  if (key === "ended") return EV.when(value);
  const size = Math.abs(value), decimals = column ? EV.decimals(column) : 0;
  return size >= 100000 || (size > 0 && size < 0.5 / 10 ** decimals)
    ? EV.number(value)
    : Number.isFinite(value)
    ? EV.digits(decimals, decimals).format(value)
    : "–";
};

/** Decimals of a whole column, so that what stands one below another can be compared: two digits of
    the middle interval, within three to five of the middle value; of a column without intervals
    about four digits, and none where all numbers are whole. */
EV.decimals = (column) => {
  const { lastId } = EV.data, { values } = column;
  if (column.checked === lastId && column.among === values.length) return column.decimals;
  const step = Math.ceil(values.length / 1000), sizes = [], halves = [];
  let whole = true;
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) continue;
    whole &&= Number.isInteger(values[i]);
    if (i % step) continue;
    if (values[i]) sizes.push(Math.abs(values[i]));
    const half = column.low ? (column.high[i] - column.low[i]) / 2 : 0;
    if (half > 0) halves.push(half);
  }
  const middle = (found) => found.sort((a, b) => a - b)[found.length >> 1];
  const size = middle(sizes) ?? 0, before = size ? Math.floor(Math.log10(size)) : 0;
  const ofHalf = () => Math.max(2 - before, Math.min(4 - before, 1 - Math.floor(Math.log10(middle(halves)))));
  return Object.assign(column, {
    checked: lastId,
    among: values.length,
    decimals: halves.length ? Math.max(0, ofHalf()) : whole ? 0 : EV.decimalsOf(size),
  }).decimals;
};

/** The interval around a value, to its column's decimals: ` ± half`, or both sides where they differ by much;
    "" without one. */
EV.spread = (key, row) => {
  const column = EV.data.numbers.get(key);
  if (!column || !column.low || !Number.isFinite(column.low[row])) return "";
  if (column.low[row] === column.high[row]) return ""; // one sample has no spread to show
  const above = column.high[row] - column.values[row], below = column.values[row] - column.low[row];
  const decimals = EV.decimals(column), format = (v) => EV.digits(decimals, decimals).format(v);
  const half = (above + below) / 2;
  return Math.abs(above - below) > 0.5 * half
    ? ` +${format(above)} −${format(below)}`
    : half < 0.5 / 10 ** decimals
    ? ` ± <${format(1 / 10 ** decimals)}`
    : ` ± ${format(half)}`;
};

EV.cellWithSpread = (key, row) => EV.cell(key, row) + EV.spread(key, row);

/** Numbers that belong together, such as a value and its bounds, with as many decimals each. */
EV.alike = (values) => {
  const decimals = EV.decimalsOf(Math.min(...values.map(Math.abs)));
  return values.map((v) => EV.digits(decimals, decimals).format(v));
};

EV.unit = (key) => {
  const column = EV.data.numbers.get(key);
  return column && column.unit ? ` ${column.unit}` : "";
};

EV.plural = (n, one, many = `${one}s`) => `${n.toLocaleString("en-GB")} ${n === 1 ? one : many}`;
