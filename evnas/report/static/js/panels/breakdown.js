// needs: panels.js
/* Where the time of a forward goes, by stage and kind, of rows and trials that were taken apart. */

EV.dataPanel({
  name: "breakdown",
  title: "Breakdown",
  available: () => EV.about.breakdowns > 0,
  pictures: true,

  reading: "Reading breakdowns …",
  nothing: "No forward of this study has been taken apart.",

  async draw(view, found) {
    const kinds = [...new Set(found.flatMap((one) => one.parts.map((part) => part.kind)))];
    const targets = [...new Set(found.map((one) => one.target))];
    const note = "Milliseconds of a forward by kind of operator. A part is bound by what takes longer at the " +
      "ceilings of that device, memory or arithmetic, which were measured in the same run; above a share of 1 its " +
      "data came out of a cache.";
    EV.put(view.node, EV.note(note));
    const drawn = targets.map((
      target,
      i,
    ) => [
      found.filter((one) => one.target === target),
      EV.figure(`breakdown-${i}`, target, `Time of a forward by kind, ${target}`, { tall: true }),
    ]);
    const roofs = targets.map((target, i) => [
      found.filter((one) => one.target === target),
      EV.figure(`roofline-${i}`, `Roofline, ${target}`, `Speed of each part against its arithmetic, ${target}`, {
        tall: true,
      }),
    ]).filter(([ones]) => ones.some((one) => one.parts.some(placed)));
    view.node.append(EV.grid([...drawn, ...roofs].map(([, figure]) => figure)));
    view.node.append(...found.map(table));
    await Promise.all([
      ...drawn.map(([ones, figure]) => bars(figure, ones)),
      ...roofs.map(([ones, figure]) => roofline(figure, ones)),
    ]);

    function placed(part) { // whether both its arithmetic and its traffic are known
      return part.gflop > 0 && part.mib > 0 && part.ms > 0;
    }

    function roofline(figure, ones) {
      const { flop_s, copy_bytes_s } = ones[0]; // ceilings of the first: other runs found theirs a little apart
      const across = (part) => part.gflop * 1e9 / (part.mib * 2 ** 20), up = (part) => 1e3 * part.gflop / part.ms;
      const parts = ones.flatMap((one) => one.parts.filter(placed).map((part) => ({ ...part, of: one.label })));
      const ridge = flop_s / copy_bytes_s, xs = [...parts.map(across), ridge];
      const ends = [Math.min(...xs) / 2, ridge, Math.max(...xs) * 2];
      const traces = kinds.map((kind, i) => {
        const mine = parts.filter((part) => part.kind === kind);
        return {
          type: "scatter",
          mode: "markers",
          name: EV.escaped(kind),
          x: mine.map(across),
          y: mine.map(up),
          text: mine.map((part) => EV.escaped(`${part.of}, ${part.stage}, ${part.kind}`)),
          hovertemplate: "%{text}: %{y:.3g} GFLOP/s at %{x:.3g} FLOP/byte<extra></extra>",
          marker: { color: EV.PALETTE[EV.theme()][i % 8], symbol: EV.SYMBOLS[i % 8], size: 8 },
        };
      }).filter((trace) => trace.x.length);
      return EV.draw(figure.plot, [{
        type: "scatter",
        mode: "lines",
        name: "ceiling",
        x: ends,
        y: ends.map((x) => Math.min(flop_s, x * copy_bytes_s) / 1e9),
        hoverinfo: "skip",
        line: { color: EV.css("--ink"), width: 1.4 },
      }, ...traces], {
        xaxis: { type: "log", title: EV.axisTitle("arithmetic, FLOP/byte") },
        yaxis: { type: "log", title: EV.axisTitle("speed, GFLOP/s") },
      });
    }

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
