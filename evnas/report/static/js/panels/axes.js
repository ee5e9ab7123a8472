// needs: panels.js
/* Results against the axes of the space: a slice an axis, two axes at once, and lines over all of them. */

EV.SLICED = 120; // trials of an axis that are drawn one by one
EV.PARALLEL = 8; // axes that the parallel coordinates show
EV.FEWEST = 3; // trials with a value, below which its median says nothing of an axis

EV.dataPanel({
  name: "axes",
  title: "Axes",
  available: () => EV.about.axes > 0 && !EV.about.large && EV.data.n > 1,

  reading: "Reading what each trial holds …",
  also: () => [EV.axesResult(), EV.state.a1, EV.state.a2],

  async draw(view, found) {
    if (!found || !found.rows.length) {
      const why = found ? "No trial has a result yet." : "The space of this study cannot be read by this version.";
      EV.put(view.node, EV.note(why));
      return;
    }
    const key = EV.axesResult(), { values } = EV.data.numbers.get(key), { axes, rows, held } = found;
    const aims = EV.axes(EV.about.objectives.map((o) => o.key).filter((k) => EV.data.numbers.has(k)));
    const front = new Set(EV.frontOf(rows, aims));
    const medians = axes.map((axis, i) =>
      axis.values.map((_, v) => quartiles(rows.filter((_, r) => held[i][r] === v)))
    );
    const varied = axes.map((_, i) => i).filter((i) => medians[i].filter((m) => m.n).length > 1);
    if (!varied.length) {
      EV.put(view.node, EV.note("No axis has taken two values yet."));
      return;
    }
    const moved = [...varied].sort((a, b) => reach(b) - reach(a));
    const pair = chosenPair();
    const shown = rows.length < found.of ? `, ${rows.length} of them evenly drawn` : "";
    const note = `${EV.plural(found.of, "trial")} with a result${shown}. Each small chart holds one axis: dots are ` +
      "trials, the bar is the median and the middle half at a value, marks are the front. Trials differ in the other " +
      "axes too, so this is what was found where, not what an axis does alone.";
    EV.put(view.node, EV.note(note), controls());
    const slices = groups().map(([caption, members], i) => [
      members,
      EV.figure(`slices-${i}`, caption, `${EV.heading(key)} against ${members.map((m) => axes[m].key).join(", ")}`),
    ]);
    view.node.append(...slices.map(([, figure]) => figure.node));
    const two = pair && EV.figure("contour", "Two axes at once: the median, and how many trials", pairWords(pair));
    const words = `Parallel coordinates of the ${Math.min(EV.PARALLEL, varied.length)} axes that move it most`;
    const lines = EV.figure("axes-parallel", `${words}, and the results`, words, { tall: true });
    view.node.append(...(two ? [two.node] : []), lines.node);
    for (const [members, { plot }] of slices) await slice(plot, members);
    if (two) await contour(two.plot, pair);
    await parallel(lines.plot);

    function quartiles(found) {
      const sorted = found.map((r) => values[r]).filter(Number.isFinite).sort((a, b) => a - b);
      const at = (share) => {
        const place = share * (sorted.length - 1), low = Math.floor(place);
        return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
      };
      return { n: sorted.length, low: at(0.25), middle: at(0.5), high: at(0.75) };
    }

    function reach(i) { // how far the medians of an axis lie apart
      const middles = medians[i].filter(({ n }) => n >= EV.FEWEST).map(({ middle }) => middle);
      return middles.length > 1 ? Math.max(...middles) - Math.min(...middles) : -1;
    }

    function together(a, b) {
      return rows.some((_, r) => held[a][r] >= 0 && held[b][r] >= 0);
    }

    function chosenPair() {
      const at = (name) => varied.find((i) => axes[i].key === EV.state[name]);
      const first = at("a1") ?? moved[0];
      const second = at("a2") ?? moved.find((i) => i !== first && together(i, first));
      return second === undefined ? null : [first, second];
    }

    function pairWords([a, b]) {
      return `${EV.heading(key)} by ${axes[a].key} and ${axes[b].key}`;
    }

    function controls() {
      const choice = (name, label, value, options, changes) =>
        EV.h(
          "label",
          {},
          EV.h("span", {}, label),
          EV.h(
            "select",
            { id: name, onchange: (e) => EV.choose(changes(e.target.value)) },
            options.map(([k, text]) => EV.h("option", { value: k, selected: k === value }, text)),
          ),
        );
      const named = varied.map((i) => [axes[i].key, axes[i].key]);
      return EV.h(
        "div",
        { class: "controls" },
        choice("axes-of", "Result", key, EV.axisChoices().map((k) => [k, EV.heading(k)]), (of) => ({ of })),
        pair && choice("a1", "Two axes: across", axes[pair[0]].key, named, (a1) => ({ a1 })),
        pair && choice("a2", "and up", axes[pair[1]].key, named, (a2) => ({ a2 })),
      );
    }

    /** Axes that every trial has, then those of each branch under the axis that it hangs on. */
    function groups() {
      const parents = [...new Set(axes.map((axis) => axis.parent))];
      return parents.map((parent) => [
        parent ? `Where ${parent} has them` : "Axes of every trial",
        varied.filter((i) => axes[i].parent === parent),
      ]).filter(([, members]) => members.length);
    }

    function head(i) { // `ss2d.scan` under its parent `stages[0].mixer`
      const { key, parent } = axes[i];
      return key.startsWith(`${parent}:`) ? key.slice(parent.length + 1) : key;
    }

    function ticks({ values }, most = 6) {
      const step = Math.ceil(values.length / most);
      const places = values.map((_, v) => v).filter((v) => v % step === 0);
      return {
        tickvals: places,
        ticktext: places.map((v) => EV.escaped(values[v])),
        range: [-0.6, values.length - 0.4],
        zeroline: false,
      };
    }

    async function slice(plot, members) {
      const grid = EV.multiples(members.length, plot.clientWidth, { shared: false });
      plot.style.height = `${grid.height}px`;
      const data = members.flatMap((i, n) => charts(i).map((trace) => ({ ...trace, ...grid.axes[n] })));
      await EV.draw(
        plot,
        data,
        grid.layout(members.map(head), { x: "", y: EV.heading(key) }, (n) => ({
          xaxis: ticks(axes[members[n]]),
          yaxis: { zeroline: false },
        })),
      );
    }

    function charts(i) {
      const own = rows.map((row, r) => ({ row, v: held[i][r] })).filter(({ row, v }) =>
        v >= 0 && Number.isFinite(values[row])
      );
      const aside = ({ row, v }) => v + 0.5 * ((row * 0.618034) % 1 - 0.5);
      const rest = EV.thinned(own.filter(({ row }) => !front.has(row)), EV.SLICED);
      const best = own.filter(({ row }) => front.has(row));
      const present = medians[i].map((m, v) => ({ ...m, v })).filter(({ n }) => n);
      const dots = { type: "scatter", mode: "markers", hovertemplate: "%{text}: %{y:.4g}<extra></extra>" };
      const names = (list) => list.map(({ row }) => EV.escaped(`Trial ${EV.data.text.label[row]}`));
      const group = ({ row }) => EV.mixerGroup(EV.data.text.mixers[row]);
      return [
        {
          ...dots,
          name: "trials",
          x: rest.map(aside),
          y: rest.map(({ row }) => values[row]),
          text: names(rest),
          marker: { color: EV.css("--faint"), size: 4 },
        },
        {
          ...dots,
          name: "median and middle half",
          x: present.map(({ v }) => v),
          y: present.map(({ middle }) => middle),
          text: present.map(({ n }) => `Median of ${n}`),
          error_y: EV.errorBars(present.map((m) => [m.low, m.middle, m.high]), EV.css("--ink"), {
            thickness: 1.6,
            width: 0,
          }),
          marker: { symbol: "line-ew", size: 13, line: { width: 2.4, color: EV.css("--ink") } },
        },
        {
          ...dots,
          name: "front",
          x: best.map(aside),
          y: best.map(({ row }) => values[row]),
          text: names(best),
          marker: {
            color: best.map((one) => EV.PALETTE[EV.theme()][group(one)]),
            symbol: best.map((one) => EV.SYMBOLS[group(one)]),
            size: 8,
            line: { width: 1, color: EV.css("--surface") },
          },
        },
      ];
    }

    async function contour(plot, [a, b]) {
      const cells = axes[b].values.map((_, y) =>
        axes[a].values.map((_, x) => quartiles(rows.filter((_, r) => held[a][r] === x && held[b][r] === y)))
      );
      await EV.draw(plot, [{
        type: "heatmap",
        x: [...axes[a].values.keys()],
        y: [...axes[b].values.keys()],
        z: cells.map((line) => line.map(({ n, middle }) => n ? middle : null)),
        text: cells.map((line) => line.map(({ n }) => n ? String(n) : "")),
        texttemplate: "%{text}",
        hovertemplate: "median %{z:.4g} of %{text}<extra></extra>",
        colorscale: EV.colourScale(),
        colorbar: { title: { text: EV.wrapped(EV.heading(key)), side: "top", font: { size: 11 } }, thickness: 12 },
        xgap: 2,
        ygap: 2,
      }], {
        xaxis: { title: EV.axisTitle(EV.escaped(axes[a].key)), ...ticks(axes[a], 12), showgrid: false },
        yaxis: { title: EV.axisTitle(EV.escaped(axes[b].key)), ...ticks(axes[b], 12), showgrid: false },
      });
    }

    async function parallel(plot) {
      const kept = new Set(moved.slice(0, EV.PARALLEL)), place = new Map(rows.map((row, r) => [row, r]));
      const over = [...varied].filter((i) => kept.has(i)).map((i) => ({
        title: axes[i].key,
        share: (row) => {
          const v = held[i][place.get(row)];
          return v < 0 ? NaN : v / (axes[i].values.length - 1 || 1);
        },
        ends: [axes[i].values[0], axes[i].values.at(-1)],
      }));
      const results = aims.map(({ key }) => EV.parallelColumn(key, rows));
      const others = EV.thinned(rows.filter((row) => !front.has(row)), 200);
      const { data, layout } = EV.parallelFigure([...over, ...results], others, [...front]);
      await EV.draw(plot, data, layout);
    }
  },
});

/** The column that the axes are held against: the one chosen, else the first objective. */
EV.axesResult = () => EV.data.numbers.has(EV.state.of) ? EV.state.of : EV.axisChoices()[0];
