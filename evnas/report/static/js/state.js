// needs: core.js
/* All that a reader chose, in the address: whoever opens it sees the same. */

EV.state = {};

EV.readState = () => {
  EV.state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
};

/** Choose: keys with null or "" are forgotten. `push` makes a step that Back returns from. */
EV.choose = (changes, { push = false } = {}) => {
  const next = { ...EV.state, ...changes };
  for (const key of Object.keys(next)) {
    if (next[key] === null || next[key] === "" || next[key] === undefined) delete next[key];
  }
  const hash = `#${new URLSearchParams(next)}`;
  EV.state = next;
  if (hash !== location.hash) history[push ? "pushState" : "replaceState"](null, "", hash);
  EV.refresh();
};

/** Labels that are pinned, in order, at most four. */
EV.pins = () =>
  (EV.state.pins ? EV.state.pins.split("~").map(decodeURIComponent) : []).filter((label) => EV.data.rows.has(label));

EV.togglePin = (label) => {
  const pins = EV.pins();
  const without = pins.filter((p) => p !== label);
  const next = without.length < pins.length ? without : [...pins.slice(-3), label];
  EV.choose({ pins: next.map(encodeURIComponent).join("~"), trial: next.includes(label) ? label : EV.state.trial });
  EV.announce(next.includes(label) ? `Trial ${label} pinned` : `Trial ${label} unpinned`);
};

EV.xKey = () => EV.axisKey("x", 0);
EV.yKey = () => EV.axisKey("y", 1);
/** The third objective: the study's own, or one that was asked for by name; "none" is none. */
EV.zKey = () =>
  EV.state.z && EV.data.numbers.has(EV.state.z) ? EV.state.z : (!EV.state.z && EV.about.objectives[2]?.key) || null;
/** What colours the marks: a column, or null for the mixer. It changes nothing but colours. */
EV.colourKey = () => {
  const { colour } = EV.state;
  return EV.data.numbers.has(colour) ? colour : colour === "mixers" ? null : EV.zKey();
};
EV.axisKey = (name, at) => {
  const chosen = EV.resolveKey(EV.state[name]);
  if (chosen && EV.data.numbers.has(chosen)) return chosen;
  const aims = EV.about.objectives.map((o) => o.key).filter((k) => EV.data.numbers.has(k));
  return aims[at] || [...EV.data.numbers.keys()].filter((k) => !aims.includes(k))[at] || "number";
};

EV.theme = () =>
  EV.printing ? "light" : EV.state.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

/** Columns that an axis may show, objectives first. */
EV.axisChoices = () => {
  const aims = EV.about.objectives.map((o) => o.key).filter((k) => EV.data.numbers.has(k));
  return [...aims, ...[...EV.data.numbers.keys()].filter((k) => !aims.includes(k))];
};

/** The columns of throughput, one per target. */
EV.speedKeys = () => {
  const keys = [...EV.data.numbers.keys()];
  return EV.about.targets.map((t) => `throughput_img_s@${t}`).filter((k) => keys.includes(k));
};
