// needs: panels.js
/* How the search went: hypervolume, importances, who holds the front, how trials ended. */

EV.dataPanel({
  name: "search",
  title: "Search",
  available: () => EV.about.kind !== "ablation" && EV.data.n > 1,
  pictures: true,

  reading: "Reading how the search went …",
  also: () => EV.state.over,
  whole: true,

  async draw(view, found) {
    const over = EV.state.over === "time" ? "device_hours" : "trials";
    const title = over === "trials" ? "trials" : "device time, hours";
    const drawn = [];
    EV.put(view.node);
    if (found.progress) {
      hypervolume(found.progress);
      shares(found.progress);
    }
    states();
    if (found.importance) importances(found.importance);
    parallel();
    view.node.append(EV.grid(drawn));
    await Promise.all(drawn.map((d) => EV.draw(d.plot, d.traces, d.layout)));

    function figure(name, caption, words, traces, layout) {
      drawn.push({ ...EV.figure(name, caption, words), traces, layout });
    }

    function hypervolume(progress) {
      const mode = (name, label) =>
        EV.h("button", {
          type: "button",
          "aria-pressed": String((EV.state.over || "trials") === name),
          onclick: () => EV.choose({ over: name === "trials" ? null : name }),
        }, label);
      view.node.append(
        EV.h(
          "div",
          { class: "controls" },
          EV.h(
            "span",
            { class: "modes", role: "group", "aria-label": "Over" },
            mode("trials", "Over trials"),
            mode("time", "Over device time"),
          ),
        ),
      );
      const last = progress.hypervolume.at(-1);
      const box = progress.reference.map((r) => `${EV.heading(r.key)} ${EV.number(r.worst)} to ${EV.number(r.best)}`)
        .join("; ");
      figure(
        "hypervolume",
        "Hypervolume, share of the box between the worst and the best found",
        `Hypervolume over ${title}: ${EV.number(last)} at the end. Box: ${box}`,
        [{
          type: "scatter",
          mode: "lines",
          name: "hypervolume",
          x: progress[over],
          y: progress.hypervolume,
          line: { color: EV.css("--accent"), width: 2, shape: "hv" },
        }],
        {
          showlegend: false,
          xaxis: { title: EV.axisTitle(title) },
          yaxis: { title: EV.axisTitle("share of the box"), rangemode: "tozero" },
        },
      );
    }

    function shares(progress) {
      const names = Object.keys(progress.share);
      if (names.length < 2) return;
      const rest = names.filter((n) => EV.mixerGroup(n) === 7);
      const groups = names.filter((n) => !rest.includes(n)).map((n) => [n, EV.mixerGroup(n), progress.share[n]]);
      if (rest.length) {
        groups.push([
          "other mixers",
          7,
          progress.trials.map((_, i) => rest.reduce((s, n) => s + progress.share[n][i], 0)),
        ]);
      }
      figure(
        "shares",
        "Share of each mixer in the front",
        `Share of each mixer in the front over ${title}`,
        groups.map(([n, group, values]) => {
          const colour = EV.PALETTE[EV.theme()][group];
          return {
            type: "scatter",
            mode: "lines",
            stackgroup: "one",
            name: EV.escaped(n),
            x: progress[over],
            y: values.map((v) => 100 * v),
            line: { width: 0.5, color: colour, shape: "hv" },
            fillcolor: colour,
            fillpattern: EV.hatched(group),
          };
        }),
        { xaxis: { title: EV.axisTitle(title) }, yaxis: { title: EV.axisTitle("of the front, %"), range: [0, 100] } },
      );
    }

    function states() {
      const names = Object.keys(EV.about.states).sort((a, b) => EV.about.states[b] - EV.about.states[a]);
      figure("states", "Trials by end", `Trials by end: ${names.map((n) => `${n} ${EV.about.states[n]}`).join(", ")}`, [
        {
          type: "bar",
          orientation: "h",
          y: names,
          x: names.map((n) => EV.about.states[n]),
          text: names.map((n) => EV.about.states[n].toLocaleString("en-GB")),
          textposition: "auto",
          marker: { color: names.map((n) => n === "complete" ? EV.css("--accent") : EV.css("--muted")) },
        },
      ], { showlegend: false, xaxis: { title: EV.axisTitle("trials") }, yaxis: { autorange: "reversed" } });
    }

    function importances(given) { // {objective: {path: share}}
      const aims = Object.keys(given);
      const paths = [...new Set(aims.flatMap((a) => Object.keys(given[a])))].sort((a, b) =>
        Math.max(...aims.map((o) => given[o][b] || 0)) - Math.max(...aims.map((o) => given[o][a] || 0))
      );
      if (!paths.length) return;
      figure(
        "importance",
        "Importance of each axis",
        "Importance of each axis of the space for each objective",
        aims.map((a, i) => ({
          type: "bar",
          orientation: "h",
          name: EV.heading(a),
          y: paths.map(EV.escaped),
          x: paths.map((p) => given[a][p] ?? 0),
          marker: { color: EV.PALETTE[EV.theme()][i % 8], pattern: EV.hatched(i) },
        })),
        {
          barmode: "group",
          xaxis: { title: EV.axisTitle("importance, share of all axes (PED-ANOVA of the better half)") },
          yaxis: { autorange: "reversed", dtick: 1, tickfont: { size: 11 } },
        },
      );
      drawn.at(-1).plot.style.height = `${Math.max(320, 110 + 22 * paths.length)}px`;
    }

    function parallel() {
      const aims = EV.about.objectives.map((o) => o.key).filter((k) => EV.data.numbers.has(k));
      const keys = [...new Set(["params_m", "macs_exact_g", "macs_paper_g", "depth", ...aims])].filter((k) =>
        EV.data.numbers.has(k)
      ).slice(0, 7);
      if (keys.length < 3 || aims.length < 2) return;
      const axes = EV.axes(aims), all = EV.partition(Array.from({ length: EV.data.n }, (_, i) => i), axes).complete;
      const front = EV.frontOf(all, axes), members = new Set(front);
      const step = Math.ceil(all.length / 200), rest = all.filter((r, i) => i % step === 0 && !members.has(r));
      const columns = keys.map((k) => EV.parallelColumn(k, all)), drawn = EV.parallelFigure(columns, rest, front);
      figure(
        "parallel",
        `Parallel coordinates: the front over ${rest.length} other trials`,
        `Parallel coordinates of ${keys.map((k) => EV.heading(k)).join(", ")}`,
        drawn.data,
        drawn.layout,
      );
    }
  },
});
