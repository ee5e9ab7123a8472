// needs: core.js
/* Parallel coordinates: a line a trial over columns of numbers or of choices. */

/** A column of numbers as one of parallel coordinates: `share` of a row 0 to 1, NaN where it has none. */
EV.parallelColumn = (key, rows) => {
  const { values } = EV.data.numbers.get(key), [low, high] = EV.scaleEnds(rows, values);
  return {
    title: EV.heading(key),
    share: (row) => (values[row] - low) / (high - low || 1),
    ends: [low, high].map(EV.number),
  };
};

/** Parallel coordinates, {title, share(row), ends} each: the front in its mixers' colours over other trials. Below
    the columns is where a line goes that has no value there. */
EV.parallelFigure = (columns, rest, front) => {
  const narrow = innerWidth < 90 * columns.length; // then words beside one another would lie on each other
  const below = -0.14, at = (share) => Number.isFinite(share) ? share : below;
  const lines = (rows, name, color, { width, dash }) => ({
    type: "scatter",
    mode: "lines",
    name,
    hoverinfo: "skip",
    x: rows.flatMap(() => [...columns.keys(), null]),
    y: rows.flatMap((row) => [...columns.map(({ share }) => at(share(row))), null]),
    line: { color, width, dash },
  });
  const word = { showarrow: false, font: { size: 11, color: EV.css("--muted") } };
  const words = columns.flatMap(({ ends, share }, x) => [
    { ...word, x, y: -0.02, yanchor: "top", text: EV.escaped(ends[0]) },
    { ...word, x, y: 1.02, yanchor: "bottom", text: EV.escaped(ends[1]) },
    ...([...rest, ...front].some((row) => !Number.isFinite(share(row)))
      ? [{ ...word, x, y: below - 0.01, yanchor: "top", text: narrow ? "–" : "not there" }]
      : []),
  ]);
  return {
    data: [
      lines(rest, "other trials", EV.css("--faint"), { width: 0.7, dash: "solid" }),
      ...EV.frontGroups(front).map(([group, rows]) =>
        lines(rows, EV.escaped(EV.groupName(group)), EV.PALETTE[EV.theme()][group], {
          width: 1.8,
          dash: EV.DASHES[group],
        })
      ),
    ],
    layout: {
      xaxis: {
        tickvals: [...columns.keys()],
        ticktext: columns.map(({ title }) =>
          narrow ? EV.escaped(title) : EV.wrapped(title).replace(/(\w[.:])(?=\w)/g, "$1<br>")
        ),
        tickangle: narrow ? 90 : 0,
        showgrid: true,
        zeroline: false,
        range: [-0.4, columns.length - 0.6],
      },
      yaxis: { visible: false, range: [-0.26, 1.12] },
      annotations: words,
      margin: { l: 16, r: 16, t: 12, b: 64 },
    },
  };
};
