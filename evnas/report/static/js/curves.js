"use strict";
/* Learning curves: of the pinned trials, or else of the front and then the others, twelve at most. */

EV.CURVES = 12;
EV.views.curves = { title: "Curves", available: () => (EV.data.text.phases || []).some((p) => p?.includes("proxy")) };

EV.views.curves.build = () => {
  const view = EV.views.curves;
  view.figure = EV.figure("curves", "Learning curves of the proxy", "Learning curves", { tall: true });
  view.says = EV.h("p", { class: "note" });
  view.shown = null;
  return EV.h("section", { "aria-label": "Learning curves" }, view.figure.node, view.says);
};

EV.views.curves.refresh = async () => {
  const view = EV.views.curves;
  const rows = EV.curveRows();
  const key = JSON.stringify([EV.data.lastId, rows, EV.theme()]);
  if (key === view.shown) return;
  view.shown = key;
  const cards = await Promise.all(rows.map(EV.cardOf));
  if (view.shown !== key) return;
  const traces = EV.curveTraces(cards, cards.map((c) => c.label));
  await EV.draw(view.figure.plot, traces, { xaxis: { title: EV.axisTitle("image presentations") }, yaxis: { title: EV.axisTitle("top-1 on held-out images, %") } });
  view.says.textContent = `${EV.plural(rows.length, "trial")}${EV.pins().length ? ", the pinned ones" : ""}. Trials that diverged end where their loss did; the table's filter and the pins choose others.`;
};

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

/** A line a training: colour and symbol by trial, dash by seed, so none is told by colour alone. */
EV.curveTraces = (cards, labels) => cards.flatMap((card, i) => card.phases.filter((p) => p.phase === "proxy" && p.curve.length).map((p) => {
  const y = p.curve.some((q) => "top1_percent" in q) ? "top1_percent" : "loss";
  const colour = EV.PALETTE[EV.theme()][i % 8];
  return { type: "scatter", mode: "lines+markers", name: EV.escaped(`${labels[i]}${card.phases.filter((q) => q.phase === "proxy").length > 1 ? `, seed ${p.seed}` : ""}`),
    x: p.curve.map((q, j) => q.images ?? q.epoch ?? j), y: p.curve.map((q) => q[y]), hovertemplate: "%{x:,} images: %{y:.2f}", line: { color: colour, width: 1.8, dash: EV.DASHES[p.seed % 8] }, marker: { symbol: `${EV.SYMBOLS[i % 8]}${i < 8 ? "" : "-open"}`, size: 7 } };
}));
