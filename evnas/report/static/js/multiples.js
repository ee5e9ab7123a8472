// needs: core.js
/* Small charts side by side in one figure, with the same scale upwards. */

/** Places for `n` small charts in a figure `wide` pixels wide. `axes` names each one's for its traces; `layout(heads,
    titles, own)` is plotly's, where `own(i)` may say more of a chart's axes. `shared`: whether all have the same scale
    across too. */
EV.multiples = (n, wide, { shared = true } = {}) => {
  const across = Math.max(1, Math.min(n, Math.floor(wide / (wide < 600 ? 160 : 210)))); // two on a phone
  const down = Math.max(1, Math.ceil(n / across));
  const height = 40 + EV.TITLED + 150 * down, grid = { n, across, down, shared, gap: EV.gapsOf(height, shared) };
  const id = (i) => i ? String(i + 1) : "";
  return {
    height,
    axes: Array.from({ length: n }, (_, i) => ({ xaxis: `x${id(i)}`, yaxis: `y${id(i)}` })),
    layout: (heads, titles, own = () => ({})) => ({
      ...Object.fromEntries(heads.flatMap((_, i) => {
        const { xaxis, yaxis } = EV.axesOfMultiple(grid, i), more = own(i);
        return [
          [`xaxis${id(i)}`, { ...xaxis, anchor: `y${id(i)}`, ...more.xaxis }],
          [`yaxis${id(i)}`, { ...yaxis, anchor: `x${id(i)}`, ...more.yaxis }],
        ];
      })),
      annotations: EV.wordsOfMultiples(grid, heads, titles),
      margin: { l: 68, r: 12, t: 26, b: 36 + (titles.x ? EV.TITLED : 0) },
      height,
      showlegend: false,
    }),
  };
};
EV.TITLED = 30; // pixels of a title below

/** Room between small charts, as shares of the figure: a heading fits above each, and ticks below where they differ. */
EV.gapsOf = (height, shared) => ({ x: shared ? 0.03 : 0.06, y: Math.min(0.3, (shared ? 32 : 56) / height) });

/** Where the `i`-th chart stands, {x, y} from and to. */
EV.placeOfMultiple = ({ across, down, gap }, i) => {
  const domain = (at, of, space) => {
    const size = (1 - space * (of - 1)) / of;
    return [at * (size + space), at * (size + space) + size];
  };
  return { x: domain(i % across, across, gap.x), y: domain(down - 1 - Math.floor(i / across), down, gap.y) };
};

EV.axesOfMultiple = (grid, i) => {
  const { n, across, shared } = grid, { x, y } = EV.placeOfMultiple(grid, i);
  const same = shared ? { ...(i ? { matches: "x" } : {}), showticklabels: i + across >= n } : {};
  return {
    xaxis: { domain: x, automargin: false, nticks: 4, ...same },
    yaxis: {
      domain: y,
      automargin: false,
      nticks: 5,
      showticklabels: i % across === 0,
      ...(i ? { matches: "y" } : {}),
    },
  };
};

/** A heading above each chart, and the titles that all share. */
EV.wordsOfMultiples = (grid, heads, titles) => {
  const word = { showarrow: false, xref: "paper", yref: "paper", font: { size: 12 } };
  const named = heads.map((text, i) => {
    const { x, y } = EV.placeOfMultiple(grid, i);
    return { ...word, text: EV.escaped(text), x: x[0], y: y[1], xanchor: "left", yanchor: "bottom" };
  });
  const outer = [
    { ...word, text: EV.escaped(titles.x), x: 0.5, y: 0, yshift: -30, yanchor: "top" },
    { ...word, text: EV.escaped(titles.y), x: 0, y: 0.5, xshift: -44, textangle: -90, xanchor: "right" },
  ];
  return [...named, ...outer.filter(({ text }) => text)];
};
