// needs: panels.js
/* What each row, or each axis moved alone, changes beside the reference: a forest of intervals per quantity. */

EV.dataPanel({
  name: "effects",
  title: "Effects",
  available: () => ["ablation", "one_at_a_time"].includes(EV.about.kind) && EV.data.n > 1,
  pictures: true,

  reading: "Reading effects …",
  nothing: "No row has a value beside the reference yet.",

  async draw(view, found) {
    const note = "Each row beside the reference, with 95 % intervals: filled where the interval excludes the line of " +
      "no effect, open where it cannot tell.";
    EV.put(view.node, EV.note(note));
    const drawn = found.map((of, i) => [
      of,
      EV.figure(`effects-${i}`, of.title, `${of.title} of ${EV.plural(of.rows.length, "row")}, with intervals`),
    ]);
    const grid = EV.grid(drawn.map(([, figure]) => figure));
    view.node.append(grid, ...found.map(table));
    await Promise.all(drawn.map(([of, { plot }]) => forest(plot, of)));

    function name({ label, changed }) {
      return changed.includes(" = ") ? changed : `${label}  ${changed}`;
    }

    function surely({ low, high }, none) {
      return low !== null && high !== null && (low > none || high < none);
    }

    function forest(plot, { title, none, rows }) {
      const up = [...rows].reverse(), wide = plot.clientWidth < 500 ? 130 : 230, most = Math.floor(wide / 6.4);
      const short = (text) => text.length > most ? `${text.slice(0, most - 1)}…` : text;
      plot.style.height = `${90 + 26 * rows.length}px`;
      return EV.draw(plot, [{
        type: "scatter",
        mode: "markers",
        x: up.map((row) => row.value),
        y: [...up.keys()],
        text: up.map((row) => EV.escaped(name(row))),
        hovertemplate: "%{text}: %{x:.4g}<extra></extra>",
        error_x: EV.errorBars(up.map((row) => [row.low, row.value, row.high]), EV.css("--accent"), {
          thickness: 1.4,
          width: 4,
        }),
        marker: {
          size: 9,
          color: EV.css("--accent"),
          symbol: up.map((row) => surely(row, none) ? "circle" : "circle-open"),
        },
      }], {
        showlegend: false,
        margin: { l: wide + 10 },
        xaxis: { title: EV.axisTitle(title), zeroline: false },
        yaxis: {
          tickvals: [...up.keys()],
          ticktext: up.map((row) => EV.escaped(short(name(row)))),
          range: [-0.7, up.length - 0.3],
          automargin: false,
          zeroline: false,
        },
        shapes: [{
          type: "line",
          x0: none,
          x1: none,
          yref: "paper",
          y0: 0,
          y1: 1,
          line: { color: EV.css("--muted"), dash: "dot", width: 1.2 },
        }],
      });
    }

    function table({ title, none, digits, rows }) {
      const words = (row) => {
        const bounds = [row.value, row.low, row.high].filter((v) => v !== null);
        const plain = digits === null ? EV.alike(bounds) : bounds.map((v) => v.toFixed(digits));
        const texts = plain.map((text, i) => none === 0 && bounds[i] > 0 ? `+${text}` : text);
        return row.low === null ? [texts[0], "–", "–"] : texts;
      };
      const lines = rows.map((row) =>
        EV.h(
          "tr",
          {},
          EV.h("th", { scope: "row" }, row.label),
          EV.h("td", { class: "wrapped" }, row.changed),
          words(row).map((text) => EV.h("td", { class: "number" }, text)),
        )
      );
      return EV.listing(`Effects, ${title}`, title, ["Trial", "Changed", "value", "low", "high"], lines);
    }
  },
});
