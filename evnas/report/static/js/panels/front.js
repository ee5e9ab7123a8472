// needs: panels.js
/* The Front: any two axes over the cloud of all that was tried, in the colours of the mixers or of a column. */

EV.FEW = 25; // up to here every trial has its label and its error bars
EV.FRONT_MARGIN = { l: 68, r: 18, t: 14, b: 54 };

EV.panel({
  name: "front",
  title: "Front",
  available: () => EV.data.n > 0,
  pictures: true,

  build(view) {
    const words = "Front of the study's trials; the table below carries the same data";
    view.figure = EV.figure("front", "Front", words, { tall: true, exported: () => EV.frontForExport(view) });
    view.aside = EV.h("aside", { class: "side", "aria-label": "Chosen trial" });
    view.controls = EV.h("div", { class: "controls" });
    view.legend = EV.h("ul", { class: "legend", "aria-label": "Marks" });
    view.notes = EV.h("p", { class: "note", id: "front-notes" });
    view.cautions = EV.h("ul", { class: "note", id: "front-cautions", "aria-label": "What weakens the figures" });
    view.canvas = EV.h("canvas", { class: "cloud", "aria-hidden": "true" });
    const stack = EV.h("div", { class: "stack" });
    view.figure.plot.replaceWith(stack);
    stack.append(view.canvas, view.figure.plot);
    view.figure.node.insertBefore(view.controls, stack);
    view.figure.node.insertBefore(view.legend, stack);
    view.figure.node.insertBefore(view.cautions, view.controls);
    view.figure.node.append(view.notes);
    Object.assign(view, { drawn: null, shown: null, hits: [] });
    EV.pointAt(view, stack);
    new ResizeObserver(() => {
      if (view.drawn && EV.view === "front") EV.drawFront(view);
    }).observe(stack);
    return EV.h(
      "section",
      { class: "front", "aria-label": "Front" },
      EV.h("div", { class: "split" }, view.figure.node, view.aside),
      EV.table.build(),
    );
  },

  async refresh(view) {
    const s = EV.state;
    if (EV.isPart() && !(await EV.loadView())) return;
    EV.table.refresh();
    EV.trialPanel(view.aside);
    EV.readPrinted();
    EV.readCautions(view.cautions);
    const seen = [...EV.frontChoices(), EV.data.lastId, EV.data.n, EV.data.whole, s.filter, EV.theme(), s.pins];
    const key = JSON.stringify(seen);
    if (key === view.drawn) return;
    view.drawn = key;
    EV.frontControls(view);
    await EV.drawFront(view);
  },
});

/** What is chosen of the axes and the chart. */
EV.frontChoices = () => {
  const { lx, ly, zoom, marks, lasso, drag } = EV.state;
  return [EV.axisKeys(), EV.colourKey(), lx, ly, zoom, marks, lasso, drag];
};

EV.frontControls = (view) => {
  const keys = EV.axisChoices(), s = EV.state, printed = EV.printedOn(EV.axes(EV.axisKeys())).length > 0;
  const shown = JSON.stringify([keys, ...EV.frontChoices(), printed]);
  if (shown === view.shown) return;
  view.shown = shown;
  const choice = (name, label, value, [none, title] = []) =>
    EV.h(
      "label",
      {},
      EV.h("span", {}, label),
      EV.h(
        "select",
        { id: `axis-${name}`, onchange: (e) => EV.choose({ [name]: e.target.value, zoom: null, lasso: null }) },
        none ? EV.h("option", { value: none }, title) : null,
        keys.map((k) => EV.h("option", { value: k, selected: k === value }, EV.heading(k))),
      ),
    );
  const tick = (name, label) =>
    EV.h(
      "label",
      { class: "tick" },
      EV.h("input", {
        type: "checkbox",
        id: `axis-${name}`,
        checked: s[name] === "1",
        onchange: (e) => EV.choose({ [name]: e.target.checked ? "1" : null, zoom: null }),
      }),
      label,
    );
  const drag = s.drag || "zoom";
  const mode = (name, label) =>
    EV.h("button", {
      type: "button",
      id: `drag-${name}`,
      "aria-pressed": String(drag === name),
      onclick: () => EV.choose({ drag: name === "zoom" ? null : name }),
    }, label);
  const had = document.activeElement?.id;
  EV.put(
    view.controls,
    choice("x", "Across", EV.xKey()),
    choice("y", "Up", EV.yKey()),
    choice("z", "Third objective", EV.zKey(), ["none", "None"]),
    choice("colour", "Colour", EV.colourKey(), ["mixers", "Mixer"]),
    EV.h(
      "span",
      { class: "ticks" },
      tick("lx", "log across"),
      tick("ly", "log up"),
      printed ? tick("marks", "published") : null,
    ),
    EV.h(
      "span",
      { class: "modes", role: "group", "aria-label": "Dragging" },
      mode("zoom", "Zoom"),
      mode("lasso", "Lasso"),
      EV.h("button", {
        type: "button",
        id: "reset-view",
        disabled: !s.zoom && !s.lasso,
        onclick: () => EV.choose({ zoom: null, lasso: null }),
      }, "Reset"),
    ),
  );
  if (had) EV.$(had)?.focus();
};

/** The place within the figure where marks are drawn, in pixels. */
EV.frontBox = (view) => {
  const { l, r, t, b } = EV.frontMargin(), { plot } = view.figure;
  return {
    left: l,
    top: t,
    width: Math.max(40, plot.clientWidth - l - r),
    height: Math.max(40, plot.clientHeight - t - b),
  };
};
EV.frontMargin = () => ({ ...EV.FRONT_MARGIN, ...(EV.colourKey() ? { r: 96 } : {}) });

EV.drawFront = async (view) => {
  const frontData = EV.frontData(), marks = EV.publishedMarks(frontData.axes);
  const range = EV.viewOf(frontData, marks), box = EV.frontBox(view), pixels = EV.pixels(frontData.axes, range, box);
  const cloud = EV.cloudOf(frontData, pixels, box);
  const few = EV.data.n <= EV.FEW; // then the marks are plotly's own, with labels and error bars
  const paint = (shown) => EV.paintCloud(view.canvas, box, shown, pixels), painted = few ? { layers: [] } : cloud;
  const waits = !window.Plotly; // until it is there, the canvas shows plotly's marks too
  view.hits = paint(waits ? EV.sketch(cloud, frontData, range) : painted);
  if (waits) {
    EV.put(
      view.figure.plot,
      EV.waiting(`${EV.heading(frontData.axes[1].key)} (up), ${EV.heading(frontData.axes[0].key)} (across)`),
    );
  }
  const layers = few ? EV.labelled(cloud.layers, frontData, { pixels, box }) : [];
  const front = EV.frontTraces(frontData, { pixels, box });
  const own = [...(few ? cloud.layers.flatMap((l) => l.rows) : []), ...frontData.front, ...frontData.peers];
  for (const row of own) view.hits.push([...pixels.ofRow(row), row]);
  view.cloud = cloud;
  EV.put(view.legend, EV.legend(cloud, frontData, marks));
  EV.describeFront(view, frontData, cloud);
  const layout = EV.frontLayout(frontData, range);
  await EV.draw(view.figure.plot, [
    ...layers,
    ...EV.peerTraces(frontData),
    ...front,
    ...EV.publishedTraces(marks, frontData.axes),
  ], {
    ...layout,
    showlegend: false,
  });
  if (waits && view.cloud === cloud) paint(painted);
  EV.listenToPlot(view);
};

/** What stands for the chart before plotly does: all its marks, and the ends of both axes. */
EV.sketch = ({ layers, counts }, frontData, [x0, x1, y0, y1]) => {
  const of = (name, rows, look) => ({ name, rows, looks: rows.map(look), size: 10, filled: true });
  const peer = () => ({ colour: EV.css("--ink"), shape: "hourglass" });
  const drawn = [of("front", frontData.front, EV.looksOf(frontData)), of("peers", frontData.peers, peer)];
  return { counts, layers: [...layers, ...drawn], ends: [x0, x1, y0, y1].map(EV.number) };
};

EV.frontLayout = ({ axes }, [x0, x1, y0, y1]) => {
  const shapes = EV.boundLines(axes), log = EV.isLog();
  const ends = (a, b, i) => log[i] ? [Math.log10(a), Math.log10(b)] : [a, b];
  const axis = (i, range) => ({
    title: EV.axisTitle(EV.heading(axes[i].key)),
    type: log[i] ? "log" : "linear",
    range,
    autorange: false,
    automargin: false,
  });
  return {
    xaxis: axis(0, ends(x0, x1, 0)),
    yaxis: axis(1, ends(y0, y1, 1)),
    margin: EV.frontMargin(),
    hovermode: false,
    dragmode: EV.state.drag || "zoom",
    shapes: shapes.lines,
    annotations: [...shapes.words, ...EV.pinFlags(axes)],
  };
};

/** The marks behind the front as layers, and counts where the cloud is too dense to paint. */
EV.cloudOf = (frontData, pixels, box) => {
  const within = ([x, y]) => x >= 0 && x <= box.width && y >= 0 && y <= box.height;
  const near = frontData.cloud.filter((row) => within(pixels.ofRow(row)));
  const dense = Boolean(frontData.counts) || near.length > EV.MANY;
  const layer = (name, rows, symbol, colour, size) => ({
    name,
    rows: EV.thinned(rows),
    symbol,
    colour: EV.css(colour),
    size,
  });
  const layers = [
    layer("infeasible", frontData.infeasible, "x", "--muted", 6),
    layer("ended early", frontData.ended, "cross", "--warn", 7),
    layer("tied within error", frontData.tied, "ring", "--ink", 8),
    {
      ...layer("no value (diverged, infeasible, …)", frontData.floor.rows, "triangle", "--warn", 7),
      base: frontData.floor.base,
    },
  ];
  const few = EV.data.n <= EV.FEW, look = EV.looksOf(frontData);
  if (!dense) {
    layers.unshift({ ...layer("dominated", [], "dot", few ? "--muted" : "--faint", few ? 8 : 5), rows: near });
  }
  for (const one of layers) if (one.symbol === "ring") one.looks = one.rows.map(look);
  return {
    layers: layers.filter((l) => l.rows.length),
    counts: frontData.counts || (dense ? EV.countCells(near, pixels, box) : null),
  };
};

EV.describeFront = (view, frontData) => {
  const { front, tied, infeasible, ended, unplaced, peers, axes } = frontData, count = (n) => n.toLocaleString("en-GB");
  const of = frontData.numbers ||
    { tied: tied.length, infeasible: infeasible.length, ended: ended.length, peers: peers.length };
  const words = [EV.plural(front.length, "trial") + " on the front"];
  if (of.tied) {
    words.push(`${count(of.tied)} within error of it (no front member dominates them with 95 % probability)`);
  }
  if (of.peers) words.push(`${EV.plural(of.peers, "timm peer")} beside it`);
  if (of.infeasible) words.push(`${count(of.infeasible)} infeasible`);
  if (of.ended) words.push(`${count(of.ended)} ended early`);
  if (unplaced.length) words.push(`${count(unplaced.length)} without a value here`);
  const step = Math.ceil(of.tied / EV.MARKED);
  const placed = front.length + of.tied + of.peers + of.infeasible + of.ended + frontData.cloud.length +
    frontData.floor.rows.length;
  if (!placed && !frontData.counts) {
    words.splice(
      0,
      words.length,
      EV.data.n === unplaced.length
        ? "No trial has both values yet"
        : "No trial that passes the filter has both values",
    );
  }
  view.notes.textContent = `${words.join("; ")}. Bars are 95 % intervals.${
    step > 1 ? ` Of tied trials every ${EV.ordinal(step)} is drawn.` : ""
  }`;
  view.figure.plot.setAttribute(
    "aria-label",
    `${EV.heading(axes[0].key)} against ${EV.heading(axes[1].key)}: ${
      words.join("; ")
    }. The table below carries the same data.`,
  );
};

/** What the pointer means: the nearest mark. A click pins it. */
EV.pointAt = (view, stack) => {
  const at = (event) => {
    const around = stack.getBoundingClientRect(), { l, t } = EV.frontMargin();
    return EV.nearest(view.hits, event.clientX - around.left - l, event.clientY - around.top - t);
  };
  stack.addEventListener("pointermove", (event) => {
    const row = event.buttons ? null : at(event);
    if (row === null) EV.hideHover();
    else EV.hoverCard(row, event);
  });
  stack.addEventListener("pointerleave", () => EV.hideHover());
  stack.addEventListener("pointerdown", (down) => {
    const row = at(down);
    if (row === null) return;
    document.addEventListener("pointerup", (up) => {
      if (Math.hypot(up.clientX - down.clientX, up.clientY - down.clientY) > 4) return; // a drag
      EV.hideHover();
      EV.togglePin(EV.data.text.label[row]);
    }, { once: true });
  }, { capture: true });
};

EV.listenToPlot = ({ figure: { plot } }) => {
  if (plot.dataset.listens) return;
  plot.dataset.listens = "1";
  plot.on("plotly_selected", (event) => {
    const points = event?.lassoPoints ? event.lassoPoints.x.map((x, i) => [x, event.lassoPoints.y[i]]) : null;
    if (points && points.length > 2) EV.choose({ lasso: EV.writeLasso(points), page: null });
  });
  plot.on("plotly_relayout", (change) => {
    if (change["xaxis.autorange"]) {
      EV.choose({ zoom: null });
      return;
    }
    const found = ["xaxis.range[0]", "xaxis.range[1]", "yaxis.range[0]", "yaxis.range[1]"].map((k) => change[k]);
    if (!found.every(Number.isFinite)) return;
    const log = EV.isLog(), real = found.map((v, i) => log[i < 2 ? 0 : 1] ? 10 ** v : v);
    EV.choose({ zoom: real.map((v) => Number(v.toPrecision(5))).join("~") });
  });
};

EV.readCautions = async (list) => { // an ablation's stand above its table
  if (EV.about.kind === "ablation" || list.dataset.read === String(EV.data.lastId)) return;
  list.dataset.read = EV.data.lastId;
  const { cautions } = await EV.panelData("search");
  EV.put(list, (cautions || []).map((sentence) => EV.h("li", {}, sentence)));
};
