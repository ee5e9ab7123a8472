// needs: panels.js
/* Published against measured: per row, and overall as rank correlations. */

EV.dataPanel({
  name: "reproduction",
  title: "Reproduction",
  available: () => EV.about.reproduces,
  pictures: true,

  reading: "Reading the published table …",
  nothing: "No row has both a printed and a measured figure yet.",

  async draw(view, found) {
    const notes = []; // reasons that many cells share, each once
    EV.put(view.node, EV.note(found.source), cells(found.table));
    if (notes.length) {
      view.node.append(EV.h("ol", { class: "note", "aria-label": "Notes" }, notes.map((text) => EV.h("li", {}, text))));
    }
    if (found.taus.length) view.node.append(taus(found.taus));
    const drawn = found.pairs.map((
      pair,
    ) => [
      pair,
      EV.figure(`reproduction-${pair.name}`, pair.title, `${pair.title}: ${EV.plural(pair.points.length, "row")}`),
    ]);
    view.node.append(EV.grid(drawn.map(([, figure]) => figure)));
    await Promise.all(drawn.map(([pair, figure]) => scatter(figure, pair)));

    function cells({ columns, rows }) {
      const name = "Published beside measured";
      return EV.listing(name, name, columns, rows.map((row) => EV.h("tr", {}, row.map(cell))));
    }

    function cell(cell, i) {
      if (i === 0) {
        const onclick = () => EV.choose({ trial: cell.text, view: "front" }, { push: true });
        return EV.h(
          "th",
          { scope: "row" },
          EV.h("button", { type: "button", class: "link", onclick }, cell.text),
        );
      }
      if (i === 1) return EV.h("td", { class: "wrapped" }, cell.text);
      if (cell.note && !notes.includes(cell.note)) notes.push(cell.note);
      return EV.h(
        "td",
        { class: `verdict ${(cell.kind || "").split(" ")[0]}`, title: cell.note || cell.verdict },
        EV.h("b", {}, cell.measured || "–"),
        cell.interval ? EV.h("small", {}, ` ${cell.interval}`) : null,
        EV.h(
          "small",
          { class: "title" },
          [cell.published && `printed ${cell.published}`, cell.verdict].filter(Boolean).join(": "),
          cell.note ? ` [${notes.indexOf(cell.note) + 1}]` : null,
        ),
      );
    }

    function taus(rows) {
      const heads = ["Ranks", "tau", "low", "high", "n"].map((t, i) =>
        EV.h("th", { scope: "col", class: i ? "number" : null }, t)
      );
      const lines = rows.map((r) =>
        EV.h(
          "tr",
          {},
          EV.h("th", { scope: "row" }, r.name),
          [r.tau, r.low, r.high].map((v) => EV.h("td", { class: "number" }, v === null ? "–" : v.toFixed(2))),
          EV.h("td", { class: "number" }, String(r.n)),
        )
      );
      const head = EV.h("thead", {}, EV.h("tr", {}, heads));
      return EV.listing("Rank correlations", "Kendall's tau, with 95 % interval", head, lines);
    }

    function scatter(figure, pair) {
      const p = pair.points,
        xs = p.map((q) => q.published),
        ys = p.flatMap((q) => [q.measured, q.low ?? q.measured, q.high ?? q.measured]);
      const all = [...xs, ...p.map((q) => q.measured)], ends = [Math.min(...all), Math.max(...all)];
      const across = EV.ends(xs, false, 0.07), up = EV.ends(ys, false, 0.07);
      const box = {
        width: Math.max(40, figure.plot.clientWidth - 72),
        height: Math.max(40, figure.plot.clientHeight - 60),
      };
      const place = (q) => ({
        x: box.width * EV.along(...across, false)(q.published),
        y: box.height * (1 - EV.along(...up, false)(q.measured)),
        text: q.label,
      });
      const labels = EV.placeLabels(p.map(place), box);
      return EV.draw(figure.plot, [{
        type: "scatter",
        mode: "lines",
        name: "equal",
        x: ends,
        y: ends,
        hoverinfo: "skip",
        line: { color: EV.css("--muted"), dash: "dot", width: 1 },
      }, {
        type: "scatter",
        mode: "markers+text",
        name: "rows",
        x: p.map((q) => q.published),
        y: p.map((q) => q.measured),
        text: labels.map(([, text]) => EV.escaped(text)),
        textposition: labels.map(([at]) => at),
        customdata: p.map((q) => EV.escaped(q.label)),
        hovertemplate: "%{customdata}: printed %{x:.4g}, measured %{y:.4g}<extra></extra>",
        error_y: p.some((q) => Number.isFinite(q.low))
          ? EV.errorBars(p.map((q) => [q.low, q.measured, q.high]), EV.css("--accent"))
          : undefined,
        marker: { size: 9, color: EV.css("--accent") },
      }], {
        showlegend: false,
        xaxis: { title: EV.axisTitle("published"), range: across },
        yaxis: { title: EV.axisTitle("measured"), range: up },
      });
    }
  },
});
