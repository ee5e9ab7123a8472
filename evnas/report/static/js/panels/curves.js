// needs: panels.js
/* Learning curves: of the pinned trials, or else of the front and then the others, twelve at most. */

EV.CURVES = 12;
EV.TOGETHER = 4; // trials whose curves share their axes; of more each has its own
EV.panel({
  name: "curves",
  title: "Curves",
  available: () => (EV.data.text.phases || []).some((p) => p?.includes("proxy")),
  pictures: true,

  build(view) {
    view.figure = EV.figure("curves", "Learning curves of the proxy", "Learning curves", { tall: true });
    view.says = EV.h("p", { class: "note" });
    view.shown = null;
    return EV.h("section", { "aria-label": "Learning curves" }, view.figure.node, view.says);
  },

  async refresh(view) {
    const rows = EV.curveRows();
    const key = JSON.stringify([EV.data.lastId, rows, EV.theme()]);
    if (key === view.shown) return;
    view.shown = key;
    const cards = await Promise.all(rows.map(EV.cardOf));
    if (view.shown !== key) return;
    const { plot } = view.figure;
    const { data, layout, height } = cards.length > EV.TOGETHER
      ? EV.curveMultiples(cards, plot.clientWidth)
      : EV.curveFigure(cards);
    plot.style.height = height ? `${height}px` : "";
    await EV.draw(plot, data, { ...layout, height: plot.clientHeight });
    view.says.textContent = `${EV.plural(rows.length, "trial")}${EV.pins().length ? ", the pinned ones" : ""}${
      height ? ", each over the curves of the others" : ""
    }. Trials that diverged end where their loss did; the table's filter and the pins choose others.`;
  },
});

EV.curveRows = () => {
  const trained = (r) => EV.data.text.phases[r].includes("proxy");
  const pinned = EV.pins().map((label) => EV.data.rows.get(label)).filter(trained);
  if (pinned.length) return pinned;
  if (EV.isPart()) return EV.data.view.front.filter(trained).slice(0, EV.CURVES);
  const { rows } = EV.visibleRows();
  const axes = EV.axes([EV.xKey(), EV.yKey()]);
  const front = EV.frontOf(EV.partition(rows, axes).complete, axes);
  return [...new Set([...(rows.length > EV.CURVES ? front : []), ...rows])].filter(trained).slice(0, EV.CURVES);
};
