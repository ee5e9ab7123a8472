// needs: panels.js
/* Where the time of a forward goes, by stage and kind, of rows and trials that were taken apart. */

EV.dataPanel({
  name: "breakdown",
  title: "Breakdown",
  available: () => EV.about.breakdowns > 0,
  pictures: true,

  reading: "Reading breakdowns …",

  async draw(view, found) {
    if (!found) {
      EV.put(view.node, EV.h("p", { class: "note" }, "No forward of this study has been taken apart."));
      return;
    }
    const kinds = [...new Set(found.flatMap((one) => one.parts.map((part) => part.kind)))];
    const targets = [...new Set(found.map((one) => one.target))];
    const note = "Milliseconds of a forward by kind of operator. A part is bound by what takes longer at the " +
      "ceilings of that device, memory or arithmetic, which were measured in the same run; above a share of 1 its " +
      "data came out of a cache.";
    EV.put(view.node, EV.h("p", { class: "note" }, note));
    const grid = EV.h("div", { class: "grid" });
    view.node.append(grid);
    const drawn = targets.map((
      target,
      i,
    ) => [
      found.filter((one) => one.target === target),
      EV.figure(`breakdown-${i}`, target, `Time of a forward by kind, ${target}`, { tall: true }),
    ]);
    EV.put(grid, drawn.map(([, figure]) => figure.node)); // all in place first: each is drawn to its own width
    view.node.append(...found.map(table));
    await Promise.all(drawn.map(([ones, figure]) => bars(figure, ones)));

    function bars(figure, ones) {
      const up = [...ones].reverse();
      const traces = kinds.map((kind, i) => ({
        type: "bar",
        orientation: "h",
        name: EV.escaped(kind),
        x: up.map((one) => sum(one.parts.filter((part) => part.kind === kind))),
        y: up.map((one) => EV.escaped(`${one.label} `)),
        hovertemplate: "%{y}: %{x:.3g} ms",
        marker: { color: EV.PALETTE[EV.theme()][i % 8], pattern: EV.hatched(i) },
      }));
      return EV.draw(figure.plot, traces, {
        barmode: "stack",
        margin: { l: 110 },
        xaxis: { title: EV.axisTitle("ms a forward") },
        yaxis: { type: "category" },
      });
    }

    function sum(parts) {
      return parts.reduce((all, part) => all + part.ms, 0);
    }

    function table(one) {
      const heads = ["Stage", "kind", "ms", "share", "GFLOP", "MiB", "of ceiling", "bound by"];
      const rows = [...one.parts].sort((a, b) => b.ms - a.ms).map((part) =>
        EV.h(
          "tr",
          {},
          EV.h("th", { scope: "row" }, part.stage),
          EV.h("td", {}, part.kind),
          [
            EV.number(part.ms),
            `${(100 * part.ms / one.latency_ms).toFixed(0)} %`,
            ...[part.gflop, part.mib, part.of_ceiling].map(EV.number),
          ].map((text) => EV.h("td", { class: "number" }, text)),
          EV.h("td", {}, part.bound || "–"),
        )
      );
      const ceilings = `${(one.copy_bytes_s / 1e9).toFixed(1)} GB/s, ${(one.flop_s / 1e9).toFixed(0)} GFLOP/s`;
      const doubt = one.disturbed ? `; not quiet: ${one.disturbed}` : "";
      const title = `${one.label}, ${one.target}: ${EV.number(one.latency_ms)} ms; ceilings ${ceilings}${doubt}`;
      return EV.listing(`Breakdown of ${one.label}, ${one.target}`, title, heads, rows);
    }
  },
});
