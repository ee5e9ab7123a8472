// needs: core.js
/* What every figure shares: colours, layout, its caption with export buttons. */

/** After Okabe and Ito (2008), moved apart until any two differ by 12 (CIEDE2000) however colours are seen. */
EV.PALETTE = {
  light: ["#0a5abb", "#ea6511", "#2f8c66", "#b0608c", "#705402", "#088bff", "#482065", "#5c575b"],
  dark: ["#228eff", "#e1690e", "#05b569", "#fb87b5", "#fddc3d", "#7ccbff", "#9575b0", "#858c89"],
};
/** Beside each colour its mark, its line and its hatching, so that none is known by colour alone. */
EV.SYMBOLS = ["circle", "square", "diamond", "triangle-up", "pentagon", "hexagon", "star", "triangle-down"];
EV.DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "10px,2px,2px,2px,2px,2px", "16px,3px"];
EV.HATCHES = ["", "/", "x", ".", "\\", "-", "|", "+"];
EV.hatched = (i) => ({
  shape: EV.HATCHES[i % 8],
  fillmode: "overlay",
  fgcolor: EV.css("--surface"),
  size: 7,
  solidity: 0.22,
});

EV.mixerNames = () => {
  if (EV.mixerOrder?.n === EV.data.n) return EV.mixerOrder.names;
  if (EV.isPart() && EV.data.view) return EV.ordered(EV.data.view.mixers);
  const counts = new Map();
  for (const name of EV.data.text.mixers || []) counts.set(name, (counts.get(name) || 0) + 1);
  EV.mixerOrder = { n: EV.data.n, names: EV.ordered([...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a))) };
  return EV.mixerOrder.names;
};

/** Mixers that everybody knows first, so that each keeps its colour from study to study. */
EV.ordered = (names) => {
  const fixed = ["hsm_ssd", "nc_ssd", "ss2d", "es2d", "sa", "none", "timm"].filter((k) => names.includes(k));
  return [...fixed, ...names.filter((k) => !fixed.includes(k))];
};

/** The group a mixer text is coloured by: itself among the first seven, else "other". */
EV.mixerGroup = (name) => {
  const at = EV.mixerNames().indexOf(name);
  return at >= 0 && at < 7 ? at : 7;
};
EV.mixerColour = (name) => EV.PALETTE[EV.theme()][EV.mixerGroup(name)];

EV.css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

EV.layout = (changes) => {
  const ink = EV.css("--ink"), line = EV.css("--line"), muted = EV.css("--muted");
  const axis = {
    gridcolor: line,
    linecolor: line,
    zerolinecolor: line,
    tickfont: { color: muted, size: 12 },
    automargin: true,
    ticks: "outside",
    tickcolor: line,
  };
  const given = { xaxis: {}, yaxis: {}, ...changes };
  const axes = Object.keys(given).filter((key) => /^[xy]axis\d*$/.test(key)); // of small multiples several
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", color: ink, size: 13 },
    hovermode: "closest",
    showlegend: true,
    legend: {
      orientation: "h",
      y: 1.02,
      yanchor: "bottom",
      x: 0,
      font: { size: 12, color: ink },
      bgcolor: "rgba(0,0,0,0)",
    },
    ...given,
    margin: { l: 56, r: 16, t: 12, b: 48, ...given.margin },
    ...Object.fromEntries(axes.map((key) => [key, { ...axis, ...given[key] }])),
  };
};

EV.axisTitle = (text) => ({ text, font: { size: 13 }, standoff: 8 });

/** Draw once the charting library is there; the rest of the page does not wait for it. */
EV.draw = async (node, traces, layout) => {
  await EV.plotlyReady();
  node.querySelector(".waiting")?.remove();
  await Plotly.react(node, traces, EV.layout(layout), {
    displayModeBar: false,
    displaylogo: false,
    showSendToCloud: false,
    responsive: true,
    scrollZoom: false,
  });
};

/** What a place says until the chart that it is for is drawn. */
EV.waiting = (text) => EV.h("p", { class: "note waiting" }, text);

/** Error bars of points, each `[low, mid, high]` in the chart's unit; none towards a bound that is not known. */
EV.errorBars = (spans, color, { thickness = 1.2, width = 3 } = {}) => ({
  type: "data",
  symmetric: false,
  array: spans.map(([, mid, high]) => (high ?? mid) - mid || 0),
  arrayminus: spans.map(([low, mid]) => mid - (low ?? mid) || 0),
  color,
  thickness,
  width,
});

/** A figure: a caption, export buttons, the place to draw in, and words for who cannot see it. */
EV.figure = (name, caption, words, { tall = false, exported = null } = {}) => {
  const plot = EV.h(
    "div",
    { class: `plot${tall ? " tall" : ""}`, role: "img", "aria-label": words },
    EV.waiting("Drawing …"),
  );
  plot.exported = exported; // what a picture of it shows, where that is more than the chart has
  const save = (format) =>
    EV.h("button", {
      type: "button",
      class: "small",
      onclick: () => EV.saveFigure(plot, name, format),
      "aria-label": `Save ${caption} as ${format.toUpperCase()}`,
    }, format.toUpperCase());
  const node = EV.h(
    "figure",
    { id: `figure-${name}` },
    EV.h("figcaption", {}, EV.h("span", {}, caption), EV.h("span", { class: "tools" }, save("png"), save("svg"))),
    plot,
  );
  return { node, plot };
};

/** Figures side by side. They stand in the page before the first is drawn: each is drawn to its own width. */
EV.grid = (figures) => EV.h("div", { class: "grid" }, figures.map((figure) => figure.node));

EV.saveFigure = async (plot, name, format) => {
  const { width, height } = plot.getBoundingClientRect();
  const link = EV.h("a", {
    href: await EV.pictureOf(plot, format, { width: Math.round(width), height: Math.round(height) }),
    download: `${EV.about.name}-${name}.${format}`,
  });
  document.body.append(link);
  link.click();
  link.remove();
};

/** A figure as a data address, on the page's own paper. */
EV.pictureOf = async (plot, format, { width, height }) => {
  const { data, layout } = plot.exported ? plot.exported() : { data: plot.data, layout: plot.layout };
  const figure = { data, layout: { ...EV.layout(layout), paper_bgcolor: EV.css("--surface") } };
  return Plotly.toImage(figure, { format, width, height, scale: format === "png" ? 2 : 1 });
};

/** A small chart of one series for a card, drawn without plotly. */
EV.spark = (points, { words, colour = "var(--accent)", dots = false }) => {
  const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const at = ([x, y]) => [4 + 192 * (x - x0) / (x1 - x0 || 1), 40 - 36 * (y - y0) / (y1 - y0 || 1)];
  const marks = dots
    ? points.map((p) => {
      const [x, y] = at(p);
      return EV.svg("circle", { cx: x, cy: y, r: 2.4, fill: colour });
    })
    : [
      EV.svg("polyline", {
        points: points.map((p) => at(p).join(",")).join(" "),
        fill: "none",
        stroke: colour,
        "stroke-width": 2,
      }),
    ];
  return EV.svg("svg", {
    class: "spark",
    viewBox: "0 0 200 44",
    role: "img",
    "aria-label": words,
    preserveAspectRatio: "none",
  }, marks);
};

/** Text for plotly, which reads a few tags in it: none of the data's own get through. */
EV.escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** A heading over several lines, for the ends of an axis. */
EV.wrapped = (text) => EV.escaped(text).replace(/, | on /g, (m) => `<br>${m.trim() === "on" ? "on " : ""}`);
