// needs: core.js
/* A study too large to send whole: the server computes what a view shows, and sends those rows alone.
   Whatever needs every row (devices, parallel coordinates, CSV) asks for the whole study first. */

EV.isPart = () => EV.about.large && !EV.data.whole && EV.source.live;

/** The question that the choices amount to, as a query. */
EV.viewQuery = () => {
  const s = EV.state, [x, y, z] = EV.requestedAxes(), query = new URLSearchParams({ x, y });
  if (z) query.set("z", z);
  for (const name of ["lx", "ly", "filter", "lasso", "sort", "page"]) if (s[name]) query.set(name, s[name]);
  if (EV.zoomed()) query.set("range", EV.viewOf(null, []).join("~"));
  for (const label of [s.trial, ...(s.pins ? s.pins.split("~").map(decodeURIComponent) : [])]) {
    if (label) query.append("label", label);
  }
  return query;
};

/** Axes as the address names them, before any column has come. */
EV.requestedAxes = () => {
  if (EV.data.numbers.size) return EV.axisKeys();
  const aims = EV.about.objectives.map((o) => o.key);
  return [
    EV.state.x || aims[0] || "number",
    EV.state.y || aims[1] || "seconds",
    ["none", "mixers"].includes(EV.state.z) ? "" : EV.state.z || aims[2] || "",
  ];
};

/** Have the view of the present choices; false when others were made meanwhile. */
EV.loadView = async () => {
  const query = EV.viewQuery(), key = `${EV.about.name} ${EV.updates} ${query}`;
  if (EV.data.view?.key === key) return true;
  EV.requestedView = key;
  const buffer = await EV.source.view(EV.state.study, query);
  if (EV.requestedView !== key) return false;
  EV.merge(EV.data, buffer);
  EV.data.view.key = key;
  return true;
};

/** How the server says that trials stand, in the form of EV.frontData(). */
EV.frontDataFromServer = () => {
  const { view } = EV.data, unplaced = { length: view.numbers.unplaced };
  return {
    axes: EV.axes(EV.axisKeys()),
    ...view,
    unplaced,
    counts: view.counts && Uint32Array.from(view.counts),
    floor: { rows: view.floor, base: view.base ?? Infinity },
  };
};

/** The whole study, from here on; what needs it awaits it. */
EV.loadAll = async () => {
  if (!EV.isPart()) return;
  EV.merge(EV.data, await EV.source.pack(EV.state.study, 0));
  EV.data.whole = true;
  EV.mixerOrder = null;
};
