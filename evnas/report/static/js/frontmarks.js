// needs: core.js
/* What is drawn of the front by plotly: its members, its references, bounds and flags, and its legend. */

EV.bars = (rows, { column }, color) =>
  column.low ? EV.errorBars(rows.map((r) => [column.low[r], column.values[r], column.high[r]]), color) : undefined;

/** A trace of marks, with labels where `labels` has some, [place, text] each. */
EV.marksTrace = (rows, [x, y], { name, colour, symbol, size, labels = null, base }) => ({
  type: "scatter",
  mode: labels ? "markers+text" : "markers",
  name: EV.escaped(name),
  hoverinfo: "none",
  x: rows.map((r) => x.values[r]),
  y: rows.map((r) => base ?? y.values[r]),
  text: labels?.map(([, text]) => EV.escaped(text)),
  textposition: labels?.map(([place]) => place),
  textfont: { size: 11, color: EV.css("--ink") },
  marker: {
    color: colour,
    size,
    symbol,
    line: {
      width: /open|thin/.test(String(symbol)) ? 1.6 : 1,
      color: /open|thin/.test(String(symbol)) ? colour : EV.css("--surface"),
    },
  },
  selected: { marker: { opacity: 1 } },
  unselected: { marker: { opacity: 1 } },
});

/** Labels of some rows, where `room` = {pixels, box} has place for them. */
EV.labelsOf = (rows, { pixels, box }, around = []) => {
  const square = ([x, y]) => [x - 4, y - 4, x + 4, y + 4], flagged = new Set(EV.pins());
  const marks = rows.map((r) => {
    const [x, y] = pixels.ofRow(r), label = EV.data.text.label[r];
    return { x, y, text: flagged.has(label) ? "" : label };
  });
  return EV.placeLabels(marks, box, { others: around.map((r) => square(pixels.ofRow(r))) });
};

/** The layers of a small study as traces, each mark with its label. */
EV.labelled = (layers, frontData, room) => {
  const rows = [
    ...frontData.front,
    ...frontData.peers,
    ...layers.filter((l) => l.base === undefined).flatMap((l) => l.rows),
  ];
  const placed = EV.labelsOf(rows, room);
  frontData.labels = new Map(rows.map((r, i) => [r, placed[i]]));
  return layers.map((layer) => {
    const labels = layer.base === undefined ? layer.rows.map((r) => frontData.labels.get(r)) : null;
    const bar = (i) =>
      layer.looks || layer.name === "dominated" ? EV.bars(layer.rows, frontData.axes[i], EV.css("--faint")) : undefined;
    return {
      ...EV.marksTrace(layer.rows, frontData.axes, { ...layer, ...EV.lookOf(layer), labels }),
      error_x: bar(0),
      error_y: bar(1),
    };
  });
};

/** A layer's colour and plotly's symbol: one for all marks, or one for each. */
EV.lookOf = ({ looks, colour, symbol }) =>
  looks
    ? { colour: looks.map((look) => look.colour), symbol: looks.map((look) => `${look.shape}-open`) }
    : { colour, symbol: EV.PLOTLY_SYMBOLS[symbol] };

/** Colour and shape of a mark by its row: those of its mixer, or of its place on the scale of a column. */
EV.looksOf = ({ front, tied }) => {
  const key = EV.colourKey(), palette = EV.PALETTE[EV.theme()];
  if (!key) {
    return (r) => {
      const group = EV.mixerGroup(EV.data.text.mixers[r]);
      return { colour: palette[group], shape: EV.SYMBOLS[group] };
    };
  }
  const { values } = EV.data.numbers.get(key), [low, high] = EV.scaleEnds([...front, ...tied], values);
  return (r) => ({ colour: EV.onScale((values[r] - low) / (high - low || 1)), shape: "circle" });
};

/** Cividis (Nuñez, Anderton and Renslow 2018), which dichromats see as others do, at five places. */
EV.CIVIDIS = [[0, 0, 34, 78], [0.25, 67, 78, 108], [0.5, 124, 123, 120], [0.75, 187, 174, 109], [1, 254, 232, 56]];
/** The part of it that stands out from the page. */
EV.SEEN = { light: [0, 0.6], dark: [0.42, 1] };
/** The colour at a share of the scale, 0 to 1. */
EV.onScale = (share) => {
  if (!Number.isFinite(share)) return EV.css("--muted");
  const [start, end] = EV.SEEN[EV.theme()], place = start + (end - start) * Math.max(0, Math.min(1, share));
  const above = Math.max(1, EV.CIVIDIS.findIndex(([at]) => at >= place));
  const [[from, ...dark], [to, ...light]] = [EV.CIVIDIS[above - 1], EV.CIVIDIS[above]];
  const parts = dark.map((v, i) => v + (light[i] - v) * (place - from) / (to - from));
  return `#${parts.map((v) => Math.round(v).toString(16).padStart(2, "0")).join("")}`;
};
/** The same as plotly takes it. */
EV.colourScale = () => [0, 0.2, 0.4, 0.6, 0.8, 1].map((share) => [share, EV.onScale(share)]);
EV.scaleEnds = (rows, values) => {
  const found = EV.extent(values, rows);
  return found.length ? found : [0, 1];
};

EV.frontGroups = (rows) => {
  const groups = new Map();
  for (const row of rows) {
    const group = EV.mixerGroup(EV.data.text.mixers[row]);
    groups.set(group, [...(groups.get(group) || []), row]);
  }
  return [...groups].sort((a, b) => a[0] - b[0]);
};
EV.groupName = (group) => group === 7 ? "other mixers" : EV.mixerNames()[group];

EV.frontTraces = (frontData, room) => {
  const { axes, front } = frontData, [x, y, z] = axes, key = EV.colourKey();
  const ordered = [...front].sort((a, b) => x.values[a] - x.values[b]);
  const placed = ordered.length > 60
    ? []
    : frontData.labels
    ? ordered.map((r) => frontData.labels.get(r))
    : EV.labelsOf(ordered, room, EV.thinned(frontData.tied));
  const labels = new Map(ordered.map((r, i) => [r, placed[i] || ["top center", ""]]));
  const member = (rows, name, colour, symbol) => {
    const bar = Array.isArray(colour) ? EV.css("--muted") : colour;
    return {
      ...EV.marksTrace(rows, axes, { name, colour, symbol, size: 10, labels: rows.map((r) => labels.get(r)) }),
      error_x: EV.bars(rows, x, bar),
      error_y: EV.bars(rows, y, bar),
    };
  };
  const line = z ? [] : [{ // a third objective has no line in these two
    type: "scatter",
    mode: "lines",
    name: "front",
    showlegend: false,
    hoverinfo: "skip",
    x: ordered.map((r) => x.values[r]),
    y: ordered.map((r) => y.values[r]),
    line: { color: EV.css("--ink"), width: 1.2, dash: "dot", shape: EV.stepOf(x) },
  }];
  if (key) {
    const { values } = EV.data.numbers.get(key), [cmin, cmax] = EV.scaleEnds([...front, ...frontData.tied], values);
    const trace = member(ordered, "front", ordered.map((r) => values[r]), "circle");
    const colorbar = {
      title: { text: EV.wrapped(EV.heading(key)), side: "top", font: { size: 11 } },
      thickness: 12,
      outlinewidth: 0,
      x: 1.02,
      xanchor: "left",
    };
    const colorscale = EV.colourScale();
    return [...line, { ...trace, marker: { ...trace.marker, colorscale, cmin, cmax, showscale: true, colorbar } }];
  }
  return [
    ...line,
    ...EV.frontGroups(ordered).map(([group, rows]) =>
      member(rows, EV.groupName(group), EV.PALETTE[EV.theme()][group], EV.SYMBOLS[group])
    ),
  ];
};

/** How a front goes from member to member: what is had for at most so much, or with at least so much. */
EV.stepOf = (x) => x.sign < 0 ? "vh" : "hv";

/** Peers from timm: references that were measured here, beside the front and never of it. */
EV.peerTraces = ({ peers, axes, labels }) =>
  !peers.length ? [] : [{
    ...EV.marksTrace(peers, axes, {
      name: "timm peers, measured here",
      colour: EV.css("--ink"),
      symbol: "hourglass-open",
      size: 11,
      labels: peers.length > 40 ? null : peers.map((r) => labels?.get(r) || ["bottom center", EV.data.text.label[r]]),
    }),
    error_x: EV.bars(peers, axes[0], EV.css("--muted")),
    error_y: EV.bars(peers, axes[1], EV.css("--muted")),
  }];

/** Printed figures that have both axes, while their box is ticked. */
EV.publishedMarks = (axes) => EV.state.marks === "1" ? EV.printedOn(axes) : [];
EV.printedOn = ([x, y]) =>
  EV.about.published.map((m) => ({ x: EV.printedAt(m, x), y: EV.printedAt(m, y), label: m.label })).filter((m) =>
    Number.isFinite(m.x) && Number.isFinite(m.y)
  );

/** Where a printed row stands on an axis. Its accuracy was of other images, as its speed was of another machine:
    it is as far from the reference row's own as it is in print. */
EV.printedAt = (mark, { key, values }) => {
  const name = key.split("@")[0].replace("macs_exact_g", "macs_paper_g");
  if (name !== "top1_percent") return mark[name] ?? NaN;
  return (mark.top1_difference ?? NaN) + (values[EV.data.rows.get(EV.about.reference)] ?? NaN);
};
EV.publishedName = (axes) => {
  const where = EV.about.published.find((m) => m.device)?.device;
  const beside = axes.some(({ key }) => /^(throughput_ratio|top1_percent)(@|$)/.test(key));
  return `published${where ? ` (${where}, ImageNet-1k)` : ""}${beside ? `, beside row ${EV.about.reference}` : ""}`;
};

EV.publishedTraces = (marks, axes) =>
  !marks.length ? [] : [{
    type: "scatter",
    mode: "markers+text",
    name: EV.escaped(EV.publishedName(axes)),
    x: marks.map((m) => m.x),
    y: marks.map((m) => m.y),
    text: marks.map((m) => EV.escaped(m.label)),
    textposition: "bottom center",
    hoverinfo: "skip",
    textfont: { size: 11, color: EV.css("--muted") },
    marker: { symbol: "star-open", size: 11, color: EV.css("--muted"), line: { width: 1.4 } },
  }];

EV.boundLines = ([x, y]) => {
  const lines = [], words = [];
  for (const { key, at_most, bound } of EV.about.constraints) {
    const across = key === x.key, up = key === y.key;
    if (!across && !up) continue;
    const log = EV.isLog()[across ? 0 : 1];
    const line = { type: "line", line: { color: EV.css("--warn"), width: 1.4, dash: "dash" } };
    lines.push(
      across
        ? { ...line, x0: bound, x1: bound, yref: "paper", y0: 0, y1: 1 }
        : { ...line, y0: bound, y1: bound, xref: "paper", x0: 0, x1: 1 },
    );
    const at = log ? Math.log10(bound) : bound;
    const word = {
      text: `${at_most ? "at most" : "at least"} ${EV.number(bound)}`,
      showarrow: false,
      font: { size: 11, color: EV.css("--warn") },
    };
    words.push(
      across
        ? { ...word, x: at, yref: "paper", y: 1, yanchor: "top", xanchor: "left" }
        : { ...word, y: at, xref: "paper", x: 1, xanchor: "right", yanchor: "bottom" },
    );
  }
  return { lines, words };
};

EV.pinFlags = ([x, y]) => {
  const log = EV.isLog(), at = (v, i) => log[i] ? Math.log10(v) : v;
  return EV.pins().map((label) => EV.data.rows.get(label)).filter((r) =>
    Number.isFinite(x.values[r]) && Number.isFinite(y.values[r])
  ).map((r) => ({
    x: at(x.values[r], 0),
    y: at(y.values[r], 1),
    text: EV.escaped(EV.data.text.label[r]),
    showarrow: true,
    arrowhead: 0,
    ax: 0,
    ay: -28,
    bgcolor: EV.css("--accent"),
    font: { color: EV.css("--on-accent"), size: 12 },
    borderpad: 3,
    arrowcolor: EV.css("--accent"),
  }));
};

/** Each kind of mark with its name, as list items. */
EV.legend = (cloud, frontData, marks) => {
  const item = (name, drawing) =>
    EV.h(
      "li",
      {},
      EV.svg("svg", { viewBox: "-7 -7 14 14", width: 14, height: 14, "aria-hidden": "true" }, drawing),
      name,
    );
  const path = (d, colour, filled) =>
    EV.svg("path", { d, fill: filled ? colour : "none", stroke: filled ? "none" : colour, "stroke-width": 1.6 });
  const coloured = EV.colourKey();
  const groups = coloured
    ? []
    : EV.frontGroups([...frontData.front, ...EV.ringed(cloud)]).map(([g]) =>
      item(EV.groupName(g), path(EV.SHAPES[EV.SYMBOLS[g]], EV.PALETTE[EV.theme()][g], true))
    );
  const own = { dot: "circle", ring: "circle", x: "x", cross: "cross", triangle: "triangle-down" };
  return [
    ...groups,
    ...(coloured ? [item("front", path(EV.SHAPES.circle, EV.css("--accent"), true))] : []),
    ...(cloud.counts ? [item("dominated, counted", path("M-6-6H6V6H-6Z", EV.css("--faint"), true))] : []),
    ...cloud.layers.map((l) => item(l.name, path(EV.SHAPES[own[l.symbol]], l.colour, l.symbol === "dot"))),
    ...(frontData.peers.length
      ? [item("timm peers, measured here", path(EV.SHAPES.hourglass, EV.css("--ink"), false))]
      : []),
    ...(marks.length ? [item(EV.publishedName(frontData.axes), path(EV.SHAPES.star, EV.css("--muted"), false))] : []),
  ];
};

EV.SHAPES = {
  circle: "M5 0A5 5 0 1 1-5 0A5 5 0 1 1 5 0Z",
  square: "M-4.5-4.5H4.5V4.5H-4.5Z",
  diamond: "M0-6L6 0L0 6L-6 0Z",
  "triangle-up": "M0-5.5L6 5H-6Z",
  "triangle-down": "M0 5.5L6-5H-6Z",
  pentagon: "M0-6L5.7-1.9L3.5 4.9H-3.5L-5.7-1.9Z",
  hexagon: "M0-6L5.2-3V3L0 6L-5.2 3V-3Z",
  star: "M0-6.5L1.6-2.2L6.2-2L2.6.8L3.8 5.3L0 2.7L-3.8 5.3L-2.6.8L-6.2-2L-1.6-2.2Z",
  x: "M-4-4L4 4M-4 4L4-4",
  cross: "M-5 0H5M0-5V5",
  hourglass: "M-5-5H5L-5 5H5Z",
};

/** The whole front as a plotly figure of its own, for a picture: what the canvas shows are traces in it. */
EV.frontForExport = (view) => {
  const frontData = EV.frontData(), marks = EV.publishedMarks(frontData.axes), range = EV.viewOf(frontData, marks);
  const box = EV.frontBox(view),
    pixels = EV.pixels(frontData.axes, range, box),
    cloud = EV.cloudOf(frontData, pixels, box);
  const few = EV.data.n <= EV.FEW, room = { pixels, box };
  const layers = few
    ? EV.labelled(cloud.layers, frontData, room)
    : cloud.layers.map((l) => EV.marksTrace(l.rows, frontData.axes, { ...l, ...EV.lookOf(l) }));
  const data = [
    ...(cloud.counts ? [EV.countsTrace(cloud.counts, range)] : []),
    ...layers,
    ...EV.peerTraces(frontData),
    ...EV.frontTraces(frontData, room),
    ...EV.mixersOfTiedAlone(frontData, cloud),
    ...EV.publishedTraces(marks, frontData.axes),
  ];
  return { data, layout: { ...EV.frontLayout(frontData, range), margin: { ...EV.frontMargin(), t: 64 } } };
};

/** Names for plotly's legend of mixers that tied marks have and no member of the front. */
EV.mixersOfTiedAlone = ({ front }, cloud) => {
  if (EV.colourKey()) return [];
  const known = new Set(EV.frontGroups(front).map(([group]) => group));
  const others = EV.frontGroups(EV.ringed(cloud)).filter(([group]) => !known.has(group));
  return others.map(([group]) => ({
    type: "scatter",
    mode: "markers",
    name: EV.escaped(EV.groupName(group)),
    x: [null],
    y: [null],
    marker: { color: EV.PALETTE[EV.theme()][group], symbol: EV.SYMBOLS[group], size: 10 },
  }));
};

/** Rows of marks that have a colour of their own beside the front's. */
EV.ringed = ({ layers }) => layers.flatMap((layer) => layer.looks ? layer.rows : []);

EV.countsTrace = (counts, [x0, x1, y0, y1]) => {
  const { wide, high } = EV.CELLS, log = EV.isLog();
  const centres = (a, b, n, isLog) => {
    const [p, q] = isLog ? [Math.log10(a), Math.log10(b)] : [a, b];
    return Array.from({ length: n }, (_, k) => p + (k + 0.5) * (q - p) / n).map((v) => isLog ? 10 ** v : v);
  };
  const z = Array.from(
    { length: high },
    (_, j) => Array.from(counts.subarray((high - 1 - j) * wide, (high - j) * wide), (n) => n ? Math.log1p(n) : null),
  );
  const colorscale = EV.theme() === "dark" ? [[0, "#2a323c"], [1, "#8fa3b8"]] : [[0, "#dfe5ec"], [1, "#6f8298"]];
  return {
    type: "heatmap",
    name: "dominated, counted",
    showlegend: true,
    x: centres(x0, x1, wide, log[0]),
    y: centres(y0, y1, high, log[1]),
    z,
    colorscale,
    showscale: false,
    hoverinfo: "skip",
  };
};
