// needs: panels.js
/* Whole trainings of the study's trials, by `evnas train --from` and `evnas finish`: curves and how far each is. */

EV.dataPanel({
  name: "trainings",
  title: "Trainings",
  available: () => EV.about.trainings > 0,
  pictures: true,

  reading: "Reading trainings …",
  nothing: "No trial of this study has been trained as a whole.",

  async draw(view, found) {
    const { trainings, unreadable } = found;
    const note =
      "Top-1 on held-out images after each epoch of whole trainings; dashed lines are the moving average's. " +
      "One that says running has been killed where its last epoch is long ago.";
    EV.put(view.node, [note, ...unreadable].map((text) => EV.note(text)));
    if (!trainings.length) return;
    const drawn = [
      ["trainings", "Top-1 of trainings", "top-1 on held-out images, %", ["top1_percent", "ema_top1_percent"]],
      ["trainings-loss", "Loss of trainings", "mean training loss of the epoch", ["loss"]],
    ].map(([name, title, axis, keys]) => [EV.figure(name, title, title, { tall: true }), axis, keys]);
    view.node.append(EV.grid(drawn.map(([figure]) => figure)));
    view.node.append(table());
    await Promise.all(drawn.map(([figure, axis, keys]) => curves(figure, axis, keys)));

    function name(one) {
      return `${one.trial}, ${one.recipe_name}, seed ${one.seed}`;
    }

    function curves(figure, axis, keys) {
      const traces = trainings.flatMap((one, i) =>
        keys.filter((key) => one.curve.some((point) => key in point)).map((key) => {
          const average = key.startsWith("ema_");
          return {
            type: "scatter",
            mode: "lines+markers",
            name: EV.escaped(name(one) + (average ? ", average" : "")),
            x: one.curve.map((point) => point.epoch),
            y: one.curve.map((point) => point[key]),
            hovertemplate: "epoch %{x}: %{y:.4g}",
            line: { color: EV.PALETTE[EV.theme()][i % 8], width: 1.8, dash: average ? "dash" : "solid" },
            marker: { symbol: `${EV.SYMBOLS[i % 8]}${i < 8 ? "" : "-open"}`, size: 6 },
          };
        })
      );
      return EV.draw(figure.plot, traces, {
        xaxis: { title: EV.axisTitle("epochs") },
        yaxis: { title: EV.axisTitle(axis) },
      });
    }

    function table() {
      const heads = ["Trial", "recipe", "data", "pixels", "seed", "state", "epochs", "top-1, %", "of the average, %"];
      const percent = (value) => value === undefined ? "–" : value.toFixed(2);
      const rows = trainings.map((one) => {
        const last = one.curve.at(-1) ?? {};
        const numbers = [
          `${one.epochs} of ${one.of_epochs}`,
          percent(last.top1_percent),
          percent(last.ema_top1_percent),
        ];
        return EV.h(
          "tr",
          {},
          EV.h("th", { scope: "row" }, chosen(one)),
          [one.recipe_name, one.data].map((text) => EV.h("td", {}, text)),
          [one.resolution, one.seed].map((value) => EV.h("td", { class: "number" }, String(value))),
          EV.h("td", {}, one.status),
          numbers.map((text) => EV.h("td", { class: "number" }, text)),
          EV.h("td", {}, one.output),
          EV.h("td", {}, EV.when(one.written)),
        );
      });
      return EV.listing("Trainings", "After the last epoch", [...heads, "folder", "noted"], rows);
    }

    function chosen({ trial, digest }) { // one that the study no longer has, or is another now, stays a word
      const row = EV.data.rows.get(trial);
      if (row === undefined || EV.data.text.digest[row] !== digest) return trial;
      const onclick = () => EV.choose({ trial, view: "front" }, { push: true });
      return EV.h("button", { type: "button", class: "link", onclick }, trial);
    }
  },
});
