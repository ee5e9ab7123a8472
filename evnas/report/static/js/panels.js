// needs: core.js
/* The panels of the page. Each is one file with one call of EV.panel, which says all that the page has to know. */

/** The tabs from left to right. A panel that is not named here comes after these, as it was registered. */
EV.TABS = [
  ...["front", "compare", "curves", "trainings", "search", "axes", "effects", "reproduction", "audit", "resolution"],
  ...["breakdown", "devices", "conditions"],
];

EV.panels = new Map();

/**
 * Add a panel.
 *
 * name: its name in the address and of its tab. title: what the tab says. available: whether the open study has
 * anything for it. badge: a short text beside the title. build(view): makes its node, once per opening; what it
 * keeps for later it puts into `view`. refresh(view): brings the node up to date, after every change of the data or
 * of a choice, so it is to return early when nothing that it shows has changed. pictures: whether `evnas report`
 * saves its figures as pictures.
 */
EV.panel = ({ name, title, available = () => true, badge = null, build, refresh, pictures = false }) => {
  if (EV.panels.has(name)) throw new Error(`panel "${name}" is registered twice`);
  for (const [key, value] of Object.entries({ build, refresh })) {
    if (typeof value !== "function") throw new Error(`panel "${name}": ${key} must be a function, got ${typeof value}`);
  }
  EV.panels.set(name, { title, available, badge, build, refresh, pictures, view: {} });
  if (EV.about?.name) EV.refresh(); // one that came after the study was opened
};

/**
 * Add a panel that is drawn as a whole, again whenever its own data, the theme or `also()` has changed.
 *
 * As in EV.panel, but for build and refresh: reading: what it says until its data has come. nothing: what it says
 * where EV.panelData found null, which is that the study has nothing for it. draw(view, found): puts into `view.node`
 * what was found; null too, of a panel without `nothing`. whole: whether it looks at every row of the study, which is
 * then loaded first.
 */
EV.dataPanel = ({ reading, nothing = null, draw, also = () => null, whole = false, ...panel }) =>
  EV.panel({
    ...panel,
    build(view) {
      view.node = EV.h("section", { "aria-label": panel.title }, EV.note(reading));
      view.shown = null;
      return view.node;
    },
    async refresh(view) {
      const key = JSON.stringify([EV.data.lastId, EV.theme(), also()]);
      if (key === view.shown) return;
      view.shown = key;
      const [found] = await Promise.all([EV.panelData(panel.name), whole ? EV.loadAll() : null]);
      if (view.shown !== key) return;
      if (!found && nothing) EV.put(view.node, EV.note(nothing));
      else await draw(view, found);
    },
  });

/** Names of the panels that the open study has something for, in the order of their tabs. */
EV.tabNames = () => {
  const place = (name) => EV.TABS.includes(name) ? EV.TABS.indexOf(name) : EV.TABS.length;
  const names = [...EV.panels.keys()].filter((name) => EV.panelSays(name, "available", false));
  return names.sort((a, b) => place(a) - place(b));
};

/** What a panel's `available` or `badge` says. One that fails is named in the console, and the other tabs stay. */
EV.panelSays = (name, asked, otherwise) => {
  try {
    return EV.panels.get(name)[asked]();
  } catch (e) {
    console.error(`panel "${name}": ${asked}() failed: ${e.message}`);
    return otherwise;
  }
};

/** What a panel's own Python class gives for the open study, as JSON; asked for once per state of the study. */
EV.panelAnswers = { key: null, found: new Map() };
EV.panelData = (name) => {
  const key = `${EV.state.study} ${EV.data.lastId}`;
  if (EV.panelAnswers.key !== key) EV.panelAnswers = { key, found: new Map() };
  const { found } = EV.panelAnswers;
  if (!found.has(name)) found.set(name, EV.source.panel(EV.state.study, name));
  return found.get(name);
};
