// needs: core.js, pack.js, panels.js
/* Opens the study that the address names, draws its panels, and follows it while it grows. */

EV.data = EV.emptyData();
EV.about = {
  name: "",
  annotations: [],
  title: "",
  objectives: [],
  constraints: [],
  targets: [],
  published: [],
  best: [],
  rungs: [],
  states: {},
  reading: { done: 0, of: 0 },
};

EV.start = async () => {
  EV.source = document.querySelector("script[data-name=pack]") ? EV.fileSource() : EV.liveSource();
  EV.readState();
  EV.applyTheme();
  addEventListener("hashchange", EV.addressChanged);
  addEventListener("popstate", EV.addressChanged);
  addEventListener("click", (e) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!e.composedPath().includes(menu)) menu.open = false;
    }
  });
  addEventListener("keydown", (e) => {
    const menu = document.querySelector("details.menu[open]");
    if (e.key === "Escape" && menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
      return;
    }
    if (e.key === "Escape") {
      EV.hideHover();
      if (EV.state.trial) EV.choose({ trial: null });
    }
    if (e.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName) && EV.$("filter")) {
      e.preventDefault();
      EV.$("filter").focus();
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    EV.applyTheme();
    EV.refresh();
  });
  if (EV.source.plotly) EV.plotlyLoading = EV.source.plotly();
  await EV.open();
  if (EV.state.export && !EV.source.live) await EV.exportAll();
};

EV.addressChanged = () => {
  const before = EV.state.study;
  EV.readState();
  EV.applyTheme();
  if (EV.state.study !== before) EV.open();
  else EV.refresh();
};

EV.applyTheme = () => {
  document.documentElement.dataset.theme = EV.theme();
};

/** The charting library: on its way from the start, run once the table and the cloud are painted. */
EV.plotlyReady = () =>
  window.Plotly ? null : EV.plotlyLoading ||= EV.afterPaint().then(() =>
    new Promise((there, failed) => {
      performance.mark("table"); // what benchmarks/dashboard_times.py reads
      const script = EV.h("script", { src: EV.plotlyAddress() });
      script.addEventListener("load", there);
      script.addEventListener("error", () => failed(new Error("the charting library could not be read")));
      document.head.append(script);
    })
  );
EV.plotlyAddress = () => document.querySelector("meta[name=plotly]").content;
EV.prefetchPlotly = () => {
  if (!EV.plotlyPrefetched && EV.source.live) {
    EV.plotlyPrefetched = true;
    fetch(EV.plotlyAddress()).then((answer) => answer.arrayBuffer()).catch(() => {});
  }
}; // into the browser's cache

/** After the next frame; a page in the background has none, and waits a moment. */
EV.afterPaint = () =>
  new Promise((done) => {
    requestAnimationFrame(() => setTimeout(done));
    setTimeout(done, 200);
  });

EV.open = async () => {
  EV.stopWatching?.();
  EV.view = null;
  EV.data = EV.emptyData();
  EV.cards.clear();
  EV.printedFor = null;
  if (EV.source.live && !EV.state.study) {
    EV.drawHeader();
    await EV.studiesPage();
    return;
  }
  const study = EV.state.study;
  EV.prefetchPlotly();
  try {
    const [about, pack] = await Promise.all([EV.source.about(study), EV.source.pack(study, 0, { small: true })]);
    if (EV.state.study !== study) return;
    EV.about = { ...about, large: !pack };
    EV.updates = 0;
    if (pack) EV.merge(EV.data, pack);
    else await EV.loadView();
    if (EV.state.study !== study) return;
  } catch (e) {
    EV.put(EV.$("main"), EV.h("p", { class: "note wrong" }, e.message));
    EV.drawHeader();
    return;
  }
  EV.refresh();
  EV.follow(study);
};

/** Take what comes without records: what the driver notes of itself, and what was asked of it. */
EV.takeAbout = async (study) => {
  try {
    const about = await EV.source.about(study);
    if (EV.state.study !== study) return;
    EV.about = { ...about, large: EV.about.large };
    EV.refresh();
  } catch (e) {
    EV.problem = e.message;
    EV.drawHeader();
  }
};

/** Take what is new, at once and then at most twice a second; less often while much is read. */
EV.follow = (study) => {
  let source = null, beat = null;
  const take = EV.throttled(() => EV.about.reading.done < EV.about.reading.of ? 2000 : 500, async () => {
    if (EV.state.study !== study) return;
    try {
      const part = EV.isPart(), before = EV.data.lastId;
      const [about, pack] = await Promise.all([EV.source.about(study), part ? null : EV.source.pack(study, before)]);
      if (EV.state.study !== study) return;
      EV.about = { ...about, large: EV.about.large };
      EV.updates++; // a view asked for before is not of the newest records
      if (part && EV.isPart()) await EV.loadView();
      else if (pack) EV.merge(EV.data, pack);
      const changed = EV.data.lastId !== before;
      EV.refresh();
      if (changed && about.running) EV.announce(`${EV.plural(EV.data.n, "trial")}`);
    } catch (e) {
      EV.problem = e.message;
      EV.drawHeader();
    }
  });
  EV.stopWatching = EV.source.watch(study, (news) => {
    EV.serverAway = Boolean(news.away);
    EV.problem = news.error || "";
    if (news.study !== undefined) {
      if (source !== null && news.study !== source) {
        EV.open();
        return;
      } // begun afresh under this name
      source = news.study;
    }
    if (news.away || news.error) EV.drawHeader();
    else if (
      news.last_id !== EV.data.lastId || news.of !== EV.about.reading.of || EV.about.reading.done < EV.about.reading.of
    ) take();
    else if (beat !== null && news.beat !== beat) EV.takeAbout(study);
    else EV.drawHeader();
    beat = news.beat ?? beat;
  });
};

EV.refresh = () => {
  EV.applyTheme();
  if (!EV.about.name || (EV.source.live && !EV.state.study)) {
    EV.drawHeader();
    return;
  }
  const names = EV.tabNames();
  const name = names.includes(EV.state.view) ? EV.state.view : names[0], turned = EV.view !== name;
  EV.view = name;
  EV.drawHeader(); // it says which panel is open
  EV.showPanel(EV.panels.get(name), turned).catch((e) => {
    EV.problem = e.message;
    EV.drawHeader();
  });
};

/** Bring a panel up to date in the page, built again or as it is. */
EV.showPanel = async ({ build, refresh, view }, rebuild) => {
  if (rebuild) EV.put(EV.$("main"), build(view));
  await refresh(view);
};

EV.drawHeader = () => {
  const about = EV.about, open = Boolean(EV.data.n || about.name) && (EV.state.study || !EV.source.live);
  const theme = EV.h("button", {
    type: "button",
    class: "small",
    id: "theme",
    onclick: () => EV.choose({ theme: EV.theme() === "dark" ? "light" : "dark" }),
  }, EV.theme() === "dark" ? "Light" : "Dark");
  const behind = about.reading.done < about.reading.of;
  const state = EV.problem
    ? EV.h("span", { class: "status failed" }, EV.problem)
    : EV.serverAway
    ? EV.h("span", { class: "status lost" }, "server away, trying again")
    : behind
    ? EV.h("span", { class: "status" }, `reading ${Math.round(100 * about.reading.done / about.reading.of)} %`)
    : about.control?.paused
    ? EV.h("span", { class: "status" }, "paused")
    : about.running
    ? EV.h("span", { class: "status running" }, "running")
    : null;
  const had = document.activeElement?.id;
  EV.put(
    EV.$("top"),
    EV.source.live && open
      ? EV.h("a", { class: "brand", href: "#", "aria-label": "evnas: all studies" }, "evnas")
      : EV.h("span", { class: "brand" }, "evnas"),
    open ? EV.h("h1", {}, about.title) : EV.h("span", { class: "grow" }),
    open ? state : null,
    open
      ? EV.h(
        "span",
        { class: "count" },
        `${EV.plural(EV.data.n, "trial")}${about.expected ? ` of ${about.expected.toLocaleString("en-GB")}` : ""}`,
      )
      : null,
    theme,
  );
  document.title = open ? `${about.title} · evnas` : "evnas";
  EV.put(
    EV.$("tabs"),
    (open ? EV.tabNames() : []).map((n) =>
      EV.h(
        "a",
        {
          id: `tab-${n}`,
          href: `#${new URLSearchParams({ ...EV.state, view: n })}`,
          "aria-current": n === EV.view ? "page" : null,
        },
        EV.panels.get(n).title,
        EV.panels.get(n).badge ? EV.h("span", { class: "badge" }, String(EV.panelSays(n, "badge", ""))) : null,
      )
    ),
  );
  if (had && /^(theme|tab-)/.test(had)) EV.$(had)?.focus();
};

/** Every figure as pictures in links, for `evnas report`, which has a browser print this document. */
EV.exportAll = async () => {
  const found = EV.h("div", { hidden: true });
  for (const panel of EV.tabNames().map((name) => EV.panels.get(name)).filter(({ pictures }) => pictures)) {
    try {
      await EV.showPanel(panel, true);
    } catch (e) {
      console.error(`panel "${panel.title}" has no pictures: ${e.message}`); // the others have theirs
      continue;
    }
    for (const plot of EV.$("main").querySelectorAll(".plot")) {
      const figure = plot.closest("figure").id.replace("figure-", "");
      for (const format of ["svg", "png"]) {
        const picture = await EV.pictureOf(plot, format, { width: 900, height: Math.max(560, plot.clientHeight) });
        const body = picture.split(",")[1];
        const coded = format === "png" ? body : btoa(unescape(body)); // an SVG comes percent-encoded
        found.append(
          EV.h("a", {
            class: "exported",
            href: `data:image/${format};base64,${coded}`,
            download: `${figure}.${format}`,
          }),
        );
      }
    }
  }
  document.body.append(found);
};

// when every script has run, those of panels from outside too
addEventListener("DOMContentLoaded", EV.start);
