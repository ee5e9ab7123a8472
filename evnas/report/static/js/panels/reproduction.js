// needs: panels.js
/* Published against measured: per row, and overall as rank correlations. */

EV.panel({
  name: "reproduction",
  title: "Reproduction",
  available: () => EV.about.reproduces,
  pictures: true,

  build(view) {
    view.node = EV.h(
      "section",
      { "aria-label": "Reproduction" },
      EV.h("p", { class: "note" }, "Reading the published table …"),
    );
    view.shown = null;
    return view.node;
  },

  async refresh(view) {
    const key = JSON.stringify([EV.data.lastId, EV.theme()]);
    if (key === view.shown) return;
    view.shown = key;
    const found = await EV.panelData("reproduction");
    if (view.shown !== key) return;
    if (!found) {
      EV.put(view.node, EV.h("p", { class: "note" }, "No row has both a printed and a measured figure yet."));
      return;
    }
    EV.put(view.node, EV.h("p", { class: "note" }, found.source), cells(found.table));
    if (found.taus.length) view.node.append(taus(found.taus));
    const grid = EV.h("div", { class: "grid" });
    view.node.append(grid);
    const drawn = found.pairs.map((
      pair,
    ) => [pair, EV.figure(`reproduction-${pair.name}`, pair.title, `${pair.title}: ${pair.points.length} rows`)]);
    EV.put(grid, drawn.map(([, figure]) => figure.node)); // all in place first: each is drawn to its own width
    await Promise.all(drawn.map(([pair, figure]) => scatter(figure, pair)));

    function cells({ columns, rows }) {
      return EV.h(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": "Published beside measured" },
        EV.h(
          "table",
          {},
          EV.h("caption", {}, "Published beside measured"),
          EV.h("thead", {}, EV.h("tr", {}, columns.map((c) => EV.h("th", { scope: "col" }, c)))),
          EV.h(
            "tbody",
            {},
            rows.map((row) =>
              EV.h(
                "tr",
                {},
                row.map((cell, i) =>
                  i === 0
                    ? EV.h(
                      "th",
                      { scope: "row" },
                      EV.h("button", {
                        type: "button",
                        class: "link",
                        onclick: () => EV.choose({ trial: cell.text, view: "front" }, { push: true }),
                      }, cell.text),
                    )
                    : EV.h(
                      "td",
                      { class: `verdict ${(cell.kind || "").split(" ")[0]}`, title: cell.verdict },
                      EV.h("b", {}, cell.measured || "–"),
                      cell.interval ? EV.h("small", {}, ` ${cell.interval}`) : null,
                      EV.h(
                        "small",
                        { class: "title" },
                        [cell.published && `printed ${cell.published}`, cell.verdict].filter(Boolean).join(": "),
                      ),
                    )
                ),
              )
            ),
          ),
        ),
      );
    }

    function taus(rows) {
      return EV.h(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": "Rank correlations" },
        EV.h(
          "table",
          {},
          EV.h("caption", {}, "Kendall's tau, with 95 % interval"),
          EV.h(
            "thead",
            {},
            EV.h(
              "tr",
              {},
              ["Ranks", "tau", "low", "high", "n"].map((t, i) =>
                EV.h("th", { scope: "col", class: i ? "number" : null }, t)
              ),
            ),
          ),
          EV.h(
            "tbody",
            {},
            rows.map((r) =>
              EV.h(
                "tr",
                {},
                EV.h("th", { scope: "row" }, r.name),
                [r.tau, r.low, r.high].map((v) => EV.h("td", { class: "number" }, v === null ? "–" : v.toFixed(2))),
                EV.h("td", { class: "number" }, String(r.n)),
              )
            ),
          ),
        ),
      );
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
          ? {
            type: "data",
            symmetric: false,
            array: p.map((q) => (q.high ?? q.measured) - q.measured),
            arrayminus: p.map((q) => q.measured - (q.low ?? q.measured)),
            color: EV.css("--accent"),
            thickness: 1.2,
            width: 3,
          }
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
