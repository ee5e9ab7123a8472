// needs: core.js
/* Learning curves: a few trials on the same axes, many on axes of their own. */

/** The longest proxy trainings of cards, {at, name, seed, x, y} each, `at` the card's place; all by top-1 where any
    has it, and by the loss where none has. A shorter one of the same seed is its beginning, or of another schedule. */
EV.trainings = (cards) => {
  const found = cards.flatMap(({ phases, label }, at) => {
    const all = phases.filter((p) => p.phase === "proxy" && p.curve.length);
    const longest = Math.max(...all.map(({ budget }) => budget)), mine = all.filter(({ budget }) => budget === longest);
    return mine.map(({ seed, curve }) => ({
      at,
      seed,
      curve,
      name: mine.length > 1 ? `${label}, seed ${seed}` : label,
    }));
  });
  const key = found.some(({ curve }) => curve.some((q) => "top1_percent" in q)) ? "top1_percent" : "loss";
  const title = key === "loss" ? "loss" : "top-1 on held-out images, %";
  const drawn = found.filter(({ curve }) => curve.some((q) => key in q)).map(({ curve, ...of }) => ({
    ...of,
    x: curve.map((q, j) => q.images ?? q.epoch ?? j),
    y: curve.map((q) => q[key]),
  }));
  return { title, drawn };
};

/** Learning curves of a few trials on the same axes: colour and dash by trial, symbol by trial and seed. */
EV.curveFigure = (cards) => {
  const { title, drawn } = EV.trainings(cards);
  const data = drawn.map(({ at, name, seed, x, y }) => ({
    type: "scatter",
    mode: "lines+markers",
    name: EV.escaped(name),
    x,
    y,
    hovertemplate: "%{x:,} images: %{y:.2f}",
    line: { color: EV.PALETTE[EV.theme()][at % 8], width: 1.8, dash: EV.DASHES[at % 8] },
    marker: { symbol: EV.SYMBOLS[(at + 4 * seed) % 8], size: 7 },
  }));
  return {
    data,
    layout: { xaxis: { title: EV.axisTitle("image presentations") }, yaxis: { title: EV.axisTitle(title) } },
  };
};

/** The same of many, each trial on axes of its own over all the others in grey; dash by seed. */
EV.curveMultiples = (cards, wide) => {
  const { title, drawn } = EV.trainings(cards);
  const trials = [...new Set(drawn.map(({ at }) => at))], grid = EV.multiples(trials.length, wide);
  const group = (at) => EV.mixerGroup(EV.data.text.mixers[EV.data.rows.get(cards[at].label)]);
  const data = trials.flatMap((at, i) => {
    const [mine, others] = [drawn.filter((t) => t.at === at), drawn.filter((t) => t.at !== at)];
    const on = { type: "scatter", showlegend: false, ...grid.axes[i] };
    return [
      {
        ...on,
        mode: "lines",
        name: "others",
        hoverinfo: "skip",
        x: others.flatMap(({ x }) => [...x, null]),
        y: others.flatMap(({ y }) => [...y, null]),
        line: { color: EV.css("--faint"), width: 0.7 },
      },
      ...mine.map(({ name, seed, x, y }) => ({
        ...on,
        mode: "lines+markers",
        name: EV.escaped(name),
        x,
        y,
        hovertemplate: "%{x:,} images: %{y:.2f}",
        line: { color: EV.PALETTE[EV.theme()][group(at)], width: 1.8, dash: EV.DASHES[seed % 8] },
        marker: { symbol: EV.SYMBOLS[group(at)], size: 6 },
      })),
    ];
  });
  const heads = trials.map((at) => `${cards[at].label}  ${EV.data.text.mixers[EV.data.rows.get(cards[at].label)]}`);
  return { data, layout: grid.layout(heads, { x: "image presentations", y: title }), height: grid.height };
};
