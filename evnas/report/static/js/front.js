"use strict";
/* The Front: any two axes, a third as colour, over the cloud of all that was tried. */

EV.MANY = 2500; // points drawn one by one; a cloud of more is counted into cells
EV.FEW = 25; // up to here every point has its label and its error bars
EV.MARKED = 600; // tied points drawn at most

EV.views.front = { title: "Front", available: () => EV.data.n > 0 };

EV.views.front.build = () => {
  const view = EV.views.front;
  const words = "Front of the study's trials; the table below carries the same data";
  view.figure = EV.figure("front", "Front", words, { tall: true });
  view.aside = EV.h("aside", { class: "side", "aria-label": "Chosen trial" });
  view.controls = EV.h("div", { class: "controls" });
  view.notes = EV.h("p", { class: "note", id: "front-notes" });
  view.figure.node.insertBefore(view.controls, view.figure.plot);
  view.figure.node.append(view.notes);
  const node = EV.h("section", { class: "front", "aria-label": "Front" }, EV.h("div", { class: "split" }, view.figure.node, view.aside), EV.table.build());
  view.drawn = null;
  view.listening = false;
  return node;
};

EV.views.front.refresh = () => {
  const view = EV.views.front;
  const { rows, problem } = EV.visibleRows();
  EV.table.refresh(rows, problem);
  EV.trialPanel(view.aside);
  EV.readPrinted();
  const filter = EV.state.filter || "";
  const key = JSON.stringify([EV.data.lastId, EV.data.n, EV.xKey(), EV.yKey(), EV.zKey(), filter, EV.state.lx, EV.state.ly, EV.state.zoom, EV.state.marks, EV.state.lasso, EV.theme(), EV.state.pins, EV.state.drag]);
  if (key === view.drawn) return;
  view.drawn = key;
  controls(view);
  let kept = rows;
  if (EV.state.lasso) { // the lasso narrows the table, never the chart
    try { kept = range(EV.data.n).filter(EV.parseFilter(filter)); } catch { kept = range(EV.data.n); }
  }
  draw(view, kept);

  function range(n) { return Array.from({ length: n }, (_, i) => i); }

  function controls(view) {
    const keys = EV.axisChoices();
    const choice = (name, label, value, none) => EV.h("label", {}, EV.h("span", {}, label), EV.h("select", { id: `axis-${name}`, onchange: (e) => EV.choose({ [name]: e.target.value, zoom: null, lasso: null }) },
      none ? EV.h("option", { value: "mixers" }, none) : null, keys.map((k) => EV.h("option", { value: k, selected: k === value }, EV.heading(k)))));
    const tick = (name, label) => EV.h("label", { class: "tick" }, EV.h("input", { type: "checkbox", id: `axis-${name}`, checked: EV.state[name] === "1", onchange: (e) => EV.choose({ [name]: e.target.checked ? "1" : null, zoom: null }) }), label);
    const drag = EV.state.drag || "zoom";
    const mode = (name, label) => EV.h("button", { type: "button", "aria-pressed": String(drag === name), onclick: () => EV.choose({ drag: name === "zoom" ? null : name }) }, label);
    const had = document.activeElement?.id;
    EV.put(view.controls, choice("x", "Across", EV.xKey()), choice("y", "Up", EV.yKey()), choice("z", "Colour", EV.zKey(), "Mixer"),
      EV.h("span", { class: "ticks" }, tick("lx", "log across"), tick("ly", "log up"), EV.about.published.length ? tick("marks", "published") : null),
      EV.h("span", { class: "modes", role: "group", "aria-label": "Dragging" }, mode("zoom", "Zoom"), mode("lasso", "Lasso"),
        EV.h("button", { type: "button", disabled: !EV.state.zoom && !EV.state.lasso, onclick: () => EV.choose({ zoom: null, lasso: null }) }, "Reset")));
    if (had) EV.$(had)?.focus();
  }

  function draw(view, rows) {
    const keys = [EV.xKey(), EV.yKey(), ...(EV.zKey() ? [EV.zKey()] : [])];
    const axes = EV.axes(keys);
    const parts = EV.partition(rows, axes);
    const front = EV.frontOf(parts.complete, axes);
    const tied = EV.tiedWith(front, parts.complete, axes);
    const spread = (list) => list.length > EV.MARKED ? list.filter((_, i) => i % Math.ceil(list.length / EV.MARKED) === 0) : list;
    const members = new Set([...front, ...tied]);
    const cloud = parts.complete.filter((row) => !members.has(row));
    const window_ = zoomed();
    const near = window_ ? cloud.filter((row) => within(row, axes, window_)) : cloud;
    const traces = [near.length > EV.MANY ? cells(near, axes) : dots(near, axes, { name: "dominated", colour: EV.css("--faint"), size: 5 })];
    traces.push(dots(spread(parts.infeasible), axes, { name: "infeasible", colour: EV.css("--muted"), symbol: "x-thin", size: 6 }));
    traces.push(dots(spread(parts.ended), axes, { name: "ended early", colour: EV.css("--warn"), symbol: "cross-thin", size: 7 }));
    const few = EV.data.n <= EV.FEW, shown = spread(tied);
    traces.push({ ...dots(shown, axes, { name: "tied within error", colour: few ? shown.map((r) => EV.mixerColour(EV.data.text.mixers[r])) : EV.css("--accent"), size: 8, open: true }),
      ...(few ? { error_x: bars(shown, axes[0], EV.css("--faint")), error_y: bars(shown, axes[1], EV.css("--faint")) } : {}) });
    traces.push(...frontTraces(front, axes), ...floor(parts.unplaced, axes, parts.complete), ...marks(axes));
    const shapes = bounds(axes);
    const drag = EV.state.drag || "zoom";
    const scale = (name) => EV.state[name] === "1" ? "log" : "linear";
    const layout = {
      xaxis: { title: EV.axisTitle(EV.heading(axes[0].key)), type: scale("lx"), ...(window_ ? { range: toAxis(window_.slice(0, 2), "lx"), autorange: false } : { autorange: true }) },
      yaxis: { title: EV.axisTitle(EV.heading(axes[1].key)), type: scale("ly"), ...(window_ ? { range: toAxis(window_.slice(2), "ly"), autorange: false } : { autorange: true }) },
      dragmode: drag, uirevision: "kept", shapes: shapes.lines, annotations: [...shapes.words, ...pinned(axes)],
    };
    EV.draw(view.figure.plot, traces.filter((t) => t.z || t.x.length), layout);
    listen(view);
    const words = [EV.plural(front.length, "trial") + " on the front"];
    if (tied.length) words.push(`${tied.length.toLocaleString("en-GB")} within error of it (no front member dominates them with 95 % probability)`);
    if (parts.infeasible.length) words.push(`${parts.infeasible.length.toLocaleString("en-GB")} infeasible`);
    if (parts.ended.length) words.push(`${parts.ended.length.toLocaleString("en-GB")} ended early`);
    if (parts.unplaced.length) words.push(`${parts.unplaced.length.toLocaleString("en-GB")} without a value here`);
    view.notes.textContent = `${words.join("; ")}. Bars are 95 % intervals.${tied.length > EV.MARKED ? ` Every ${Math.ceil(tied.length / EV.MARKED)}th tied trial is drawn.` : ""}`;
    view.figure.plot.setAttribute("aria-label", `${EV.heading(axes[0].key)} against ${EV.heading(axes[1].key)}: ${words.join("; ")}. The table below carries the same data.`);
  }

  function zoomed() {
    const found = (EV.state.zoom || "").split("~").map(Number);
    return found.length === 4 && found.every(Number.isFinite) ? found : null;
  }

  function toAxis(pair, name) { return EV.state[name] === "1" ? pair.map((v) => Math.log10(Math.max(v, 1e-12))) : pair; }

  function within(row, [x, y], [x0, x1, y0, y1]) {
    const [a, b] = [x.values[row], y.values[row]];
    return a >= Math.min(x0, x1) && a <= Math.max(x0, x1) && b >= Math.min(y0, y1) && b <= Math.max(y0, y1);
  }

  function dots(rows, [x, y], { name, colour, symbol = "circle", size, open = false }) {
    const few = EV.data.n <= EV.FEW && !symbol.startsWith("triangle"); // so few that each is told by its label
    return { type: "scatter", mode: few ? "markers+text" : "markers", name, text: few ? rows.map((r) => EV.escaped(EV.data.text.label[r])) : undefined, textposition: "top center", textfont: { size: 11, color: EV.css("--muted") }, x: rows.map((r) => x.values[r]), y: rows.map((r) => y.values[r]), customdata: rows, hoverinfo: "none",
      marker: { color: colour, size, symbol: open ? `${symbol}-open` : symbol, line: { width: open || symbol.endsWith("thin") ? 1.6 : 0, color: colour } },
      selected: { marker: { opacity: 1 } }, unselected: { marker: { opacity: 1 } } };
  }

  function cells(rows, [x, y]) {
    const wide = 140, high = 90, log = [EV.state.lx === "1", EV.state.ly === "1"];
    const place = [x, y].map(({ values }, i) => (row) => log[i] ? Math.log10(values[row]) : values[row]);
    const ends = place.map((at) => rows.reduce(([a, b], r) => [Math.min(a, at(r)), Math.max(b, at(r))], [Infinity, -Infinity]));
    const counts = Array.from({ length: high }, () => new Array(wide).fill(null));
    const cell = (i, value, n) => Math.min(n - 1, Math.floor(n * (value - ends[i][0]) / (ends[i][1] - ends[i][0] || 1)));
    for (const row of rows) {
      const line = counts[cell(1, place[1](row), high)], i = cell(0, place[0](row), wide);
      line[i] = (line[i] || 0) + 1;
    }
    const centres = (i, n) => Array.from({ length: n }, (_, k) => ends[i][0] + (k + 0.5) * (ends[i][1] - ends[i][0]) / n).map((v) => log[i] ? 10 ** v : v);
    const scale = EV.theme() === "dark" ? [[0, "#2a323c"], [1, "#8fa3b8"]] : [[0, "#dfe5ec"], [1, "#6f8298"]];
    return { type: "heatmap", name: "dominated, counted", showlegend: true, x: centres(0, wide), y: centres(1, high), z: counts.map((line) => line.map((v) => v && Math.log10(v + 1))), colorscale: scale, showscale: false, hoverinfo: "skip", connectgaps: false };
  }

  function frontTraces(front, axes) {
    const [x, y, z] = axes;
    const ordered = [...front].sort((a, b) => x.values[a] - x.values[b]);
    const line = z ? [] : [{ type: "scatter", mode: "lines", name: "front", showlegend: false, x: ordered.map((r) => x.values[r]), y: ordered.map((r) => y.values[r]), hoverinfo: "skip",
      line: { color: EV.css("--ink"), width: 1.2, dash: "dot" } }];
    if (z) return [member(ordered, axes, { name: "front", colour: ordered.map((r) => z.values[r]), symbol: "circle" })];
    const groups = new Map();
    for (const row of ordered) {
      const group = EV.mixerGroup(EV.data.text.mixers[row]);
      groups.set(group, [...(groups.get(group) || []), row]);
    }
    return [...line, ...[...groups].sort((a, b) => a[0] - b[0]).map(([group, rows]) =>
      member(rows, axes, { name: group === 7 ? "other mixers" : EV.mixerNames()[group], colour: EV.PALETTE[EV.theme()][group], symbol: EV.SYMBOLS[group] }))];
  }

  function bars(rows, { column }, color) {
    if (!column.low) return undefined;
    return { type: "data", symmetric: false, array: rows.map((r) => column.high[r] - column.values[r] || 0), arrayminus: rows.map((r) => column.values[r] - column.low[r] || 0), thickness: 1.2, width: 3, color };
  }

  function member(rows, axes, { name, colour, symbol }) {
    const z = axes[2], short = rows.length <= 25;
    const bar = Array.isArray(colour) ? EV.css("--muted") : colour;
    return { ...dots(rows, axes, { name, colour, symbol, size: 10 }), mode: short ? "markers+text" : "markers",
      text: short ? rows.map((r) => EV.escaped(EV.data.text.label[r])) : undefined, textposition: "top center", textfont: { size: 11, color: EV.css("--ink") },
      error_x: bars(rows, axes[0], bar), error_y: bars(rows, axes[1], bar),
      marker: { color: colour, symbol, size: 10, line: { width: 1, color: EV.css("--surface") }, ...(z ? { colorscale: "Cividis", showscale: true, colorbar: { title: { text: EV.heading(z.key), side: "right" }, thickness: 12, outlinewidth: 0 } } : {}) } };
  }

  function floor(rows, [x, y], complete) { // a trial that diverged has a speed and no accuracy: it stands on the floor
    const only = rows.filter((r) => Number.isFinite(x.values[r]) && EV.data.text.status[r] !== "complete");
    if (!only.length || !complete.length) return [];
    const base = complete.reduce((low, r) => Math.min(low, y.values[r]), Infinity);
    const drawn = only.length > EV.MARKED ? only.filter((_, i) => i % Math.ceil(only.length / EV.MARKED) === 0) : only;
    return [{ ...dots(drawn, [x, y], { name: "no value (diverged, infeasible, …)", colour: EV.css("--warn"), symbol: "triangle-down", size: 7, open: true }), y: drawn.map(() => base) }];
  }

  function marks([x, y]) {
    const name = (axis) => axis.key.split("@")[0].replace("macs_exact_g", "macs_g");
    const peers = { rows: [], text: [] };
    if (EV.state.marks !== "1") return [];
    for (const mark of EV.about.published) {
      if (Number.isFinite(mark[name(x)] ?? NaN) && Number.isFinite(mark[name(y)] ?? NaN)) { peers.rows.push([mark[name(x)], mark[name(y)]]); peers.text.push(mark.label); }
    }
    if (!peers.rows.length) return [];
    const where = EV.about.published.find((m) => m.device)?.device;
    return [{ type: "scatter", mode: "markers+text", name: `published${where ? ` (${where}, ImageNet-1k)` : ""}`, x: peers.rows.map((p) => p[0]), y: peers.rows.map((p) => p[1]), text: peers.text, textposition: "bottom center", hoverinfo: "skip",
      textfont: { size: 11, color: EV.css("--muted") }, marker: { symbol: "star-open", size: 11, color: EV.css("--muted"), line: { width: 1.4 } } }];
  }

  function bounds([x, y]) {
    const lines = [], words = [];
    for (const { key, at_most, bound } of EV.about.constraints) {
      const across = key === x.key, up = key === y.key;
      if (!across && !up) continue;
      const log = EV.state[across ? "lx" : "ly"] === "1";
      const line = { type: "line", line: { color: EV.css("--warn"), width: 1.4, dash: "dash" } };
      lines.push(across ? { ...line, x0: bound, x1: bound, yref: "paper", y0: 0, y1: 1 } : { ...line, y0: bound, y1: bound, xref: "paper", x0: 0, x1: 1 });
      const at = log ? Math.log10(bound) : bound;
      const word = { text: `${at_most ? "at most" : "at least"} ${EV.number(bound)}`, showarrow: false, font: { size: 11, color: EV.css("--warn") } };
      words.push(across ? { ...word, x: at, yref: "paper", y: 1, yanchor: "top", xanchor: "left" } : { ...word, y: at, xref: "paper", x: 1, xanchor: "right", yanchor: "bottom" });
    }
    return { lines, words };
  }

  function pinned([x, y]) {
    return EV.pins().map((label) => EV.data.rows.get(label)).filter((r) => Number.isFinite(x.values[r]) && Number.isFinite(y.values[r])).map((r) => ({
      x: EV.state.lx === "1" ? Math.log10(x.values[r]) : x.values[r], y: EV.state.ly === "1" ? Math.log10(y.values[r]) : y.values[r],
      text: EV.escaped(EV.data.text.label[r]), showarrow: true, arrowhead: 0, ax: 0, ay: -28, bgcolor: EV.css("--accent"), font: { color: EV.css("--on-accent"), size: 12 }, borderpad: 3, arrowcolor: EV.css("--accent") }));
  }

  function listen(view) {
    if (view.listening) return;
    view.listening = true;
    const plot = view.figure.plot;
    plot.on("plotly_hover", (event) => { const p = event.points[0]; if (p && p.customdata !== undefined) EV.hoverCard(p.customdata, event.event); });
    plot.on("plotly_unhover", () => EV.hideHover());
    plot.on("plotly_click", (event) => { const p = event.points.find((q) => q.customdata !== undefined); if (p) { EV.hideHover(); EV.togglePin(EV.data.text.label[p.customdata]); } });
    plot.on("plotly_selected", (event) => {
      if (!event) return;
      const points = event.lassoPoints ? event.lassoPoints.x.map((x, i) => [x, event.lassoPoints.y[i]]) : null;
      if (points && points.length > 2) EV.choose({ lasso: EV.writeLasso(points), page: null });
    });
    plot.on("plotly_relayout", (change) => {
      if (change["xaxis.autorange"]) { EV.choose({ zoom: null }); return; }
      const found = ["xaxis.range[0]", "xaxis.range[1]", "yaxis.range[0]", "yaxis.range[1]"].map((k) => change[k]);
      if (!found.every(Number.isFinite)) return;
      const real = found.map((v, i) => EV.state[i < 2 ? "lx" : "ly"] === "1" ? 10 ** v : v);
      EV.choose({ zoom: real.map((v) => Number(v.toPrecision(5))).join("~") });
    });
  }
};

/** Text for plotly, which reads a few tags in it: none of the data's own get through. */
EV.escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Columns that an axis may show, objectives first. */
EV.axisChoices = () => {
  const aims = EV.about.objectives.map((o) => o.key).filter((k) => EV.data.numbers.has(k));
  return [...aims, ...[...EV.data.numbers.keys()].filter((k) => !aims.includes(k))];
};
