// needs: panels.js
/* What orders the rows as print does: tau of each signal on all pairs, and on pairs of equal FLOPs. */

EV.dataPanel({
  name: "audit",
  title: "Audit",
  available: () => EV.about.reproduces,
  pictures: true,

  reading: "Comparing orders …",

  async draw(view, found) {
    const scopes = found ? found.scopes.filter((scope) => scope.lines.length) : [];
    if (!scopes.length) {
      EV.put(view.node, EV.note("No row has both a printed top-1 and an accuracy from here."));
      return;
    }
    const note = "Kendall's tau with printed top-1, and its 95 % interval. What grows with size orders unlike rows " +
      "well; what a signal is worth shows between rows of equal FLOPs.";
    EV.put(view.node, EV.note(note), scopes.map(table));
    const drawn = scopes.map((scope) => [scope, EV.figure(`audit-${scope.name}`, scope.name, `tau, ${scope.name}`)]);
    view.node.append(EV.grid(drawn.map(([, figure]) => figure)));
    await Promise.all(drawn.map(([scope, figure]) => dots(figure, scope.lines)));

    function table(scope) {
      const heads = ["Signal", "tau", "low", "high", "rows", "pairs", "verdict"];
      const cells = (line) => [
        ...[line.tau, line.low, line.high].map((v) => v.toFixed(2)),
        String(line.n),
        String(line.pairs),
      ];
      const rows = scope.lines.map((line) =>
        EV.h(
          "tr",
          {},
          EV.h("th", { scope: "row" }, line.signal),
          cells(line).map((text) => EV.h("td", { class: "number" }, text)),
          EV.h("td", {}, line.verdict),
        )
      );
      return EV.listing(`Audit, ${scope.name}`, scope.name, heads, rows);
    }

    function dots(figure, lines) {
      const up = [...lines].sort((a, b) => a.tau - b.tau);
      return EV.draw(figure.plot, [{
        type: "scatter",
        mode: "markers",
        x: up.map((line) => line.tau),
        y: up.map((line) => EV.escaped(line.signal)),
        hovertemplate: "%{y}: %{x:.2f}<extra></extra>",
        error_x: EV.errorBars(up.map((line) => [line.low, line.tau, line.high]), EV.css("--accent")),
        marker: { size: 9, color: EV.css("--accent") },
      }], {
        showlegend: false,
        margin: { l: 130 },
        xaxis: { title: EV.axisTitle("Kendall's tau with printed top-1"), range: [-1.05, 1.05] },
      });
    }
  },
});
