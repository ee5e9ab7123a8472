// needs: panels.js
/* Latency of an image against its resolution, a curve a model, and at which batch each point was taken. */

EV.dataPanel({
  name: "resolution",
  title: "Resolution",
  available: () => EV.about.resolutions > 1,
  pictures: true,

  reading: "Reading latencies …",
  nothing: "No speed has been measured yet.",

  async draw(view, found) {
    const note = "Milliseconds an image, both axes logarithmic, with 95 % intervals. A batch that did not fit into " +
      "memory was halved until it did, where the sweep says so; the table has the batch of each point.";
    EV.put(view.node, EV.note(note));
    const drawn = found.map((
      target,
      i,
    ) => [target, EV.figure(`resolution-${i}`, target.name, `Latency of an image, ${target.name}`, { tall: true })]);
    view.node.append(EV.grid(drawn.map(([, figure]) => figure)));
    view.node.append(...found.map(table));
    await Promise.all(drawn.map(([target, figure]) => curves(figure, target)));

    function curves(figure, { curves }) {
      const traces = curves.map((curve, i) => {
        const points = curve.points.filter((p) => p.ms !== undefined);
        const colour = EV.PALETTE[EV.theme()][i % 8];
        return {
          type: "scatter",
          mode: "lines+markers",
          name: EV.escaped(curve.name),
          x: points.map((p) => p.resolution),
          y: points.map((p) => p.ms),
          customdata: points.map((p) => p.batch),
          hovertemplate: "%{x} pixels: %{y:.4g} ms an image at batch %{customdata}",
          error_y: EV.errorBars(points.map((p) => [p.low, p.ms, p.high]), colour),
          line: { color: colour, width: 1.8, dash: EV.DASHES[i % 8] },
          marker: { symbol: `${EV.SYMBOLS[i % 8]}${i < 8 ? "" : "-open"}`, size: 8 },
        };
      });
      const sides = [...new Set(curves.flatMap((c) => c.points.map((p) => p.resolution)))].sort((a, b) => a - b);
      return EV.draw(figure.plot, traces, {
        xaxis: { type: "log", title: EV.axisTitle("side of the images, pixels"), tickvals: sides },
        yaxis: { type: "log", title: EV.axisTitle("ms an image") },
      });
    }

    function table({ name, curves }) {
      const heads = ["Row", "pixels", "batch", "ms an image", "low", "high"];
      const cells = (p) =>
        p.ms === undefined
          ? [String(p.resolution), "–", p.ended, "", ""]
          : [String(p.resolution), String(p.batch), ...EV.alike([p.ms, p.low, p.high])];
      const rows = curves.flatMap((curve) =>
        curve.points.map((p) =>
          EV.h(
            "tr",
            {},
            EV.h("th", { scope: "row" }, p.row),
            cells(p).map((text) => EV.h("td", { class: "number" }, text)),
          )
        )
      );
      return EV.listing(`Resolution, ${name}`, name, heads, rows);
    }
  },
});
