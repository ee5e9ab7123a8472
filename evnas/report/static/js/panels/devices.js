// needs: panels.js
/* The same candidates on several targets, and where their ranks flip. */

EV.panel({
  name: "devices",
  title: "Devices",
  available: () => EV.speedKeys().length > 1,

  build(view) {
    view.controls = EV.h("div", { class: "controls" });
    view.figure = EV.figure("devices", "One target against another", "Throughput on one target against another");
    view.says = EV.h("p", { class: "note" });
    view.flips = EV.scrolled("Rank flips");
    view.shown = null;
    return EV.h("section", { "aria-label": "Devices" }, view.controls, view.figure.node, view.says, view.flips);
  },

  async refresh(view) {
    await EV.loadAll();
    const keys = EV.speedKeys();
    const a = keys.includes(EV.state.d1) ? EV.state.d1 : keys[0],
      b = keys.includes(EV.state.d2) ? EV.state.d2 : keys.find((k) => k !== a);
    const key = JSON.stringify([EV.data.lastId, a, b, EV.theme()]);
    if (key === view.shown) return;
    view.shown = key;
    const pick = (name, label, value) =>
      EV.h(
        "label",
        {},
        EV.h("span", {}, label),
        EV.h(
          "select",
          { id: name, onchange: (e) => EV.choose({ [name]: e.target.value }) },
          keys.map((k) => EV.h("option", { value: k, selected: k === value }, k.split("@")[1])),
        ),
      );
    EV.put(view.controls, pick("d1", "Across", a), pick("d2", "Up", b));
    const x = EV.data.numbers.get(a), y = EV.data.numbers.get(b);
    const both = Array.from({ length: EV.data.n }, (_, i) => i).filter((r) =>
      Number.isFinite(x.values[r]) && Number.isFinite(y.values[r])
    );
    const step = Math.ceil(both.length / 1500), shown = both.filter((_, i) => i % step === 0);
    const traces = EV.SYMBOLS.map((symbol, i) => {
      const rows = shown.filter((r) => EV.mixerGroup(EV.data.text.mixers[r]) === i);
      return {
        type: "scatter",
        mode: "markers",
        name: rows.length ? EV.escaped(EV.groupName(i)) : "",
        x: rows.map((r) => x.values[r]),
        y: rows.map((r) => y.values[r]),
        text: rows.map((r) => EV.escaped(`Trial ${EV.data.text.label[r]}`)),
        hovertemplate: "%{text}<br>%{x:.4g} and %{y:.4g} images/s<extra></extra>",
        marker: { color: EV.PALETTE[EV.theme()][i], symbol, size: 7 },
      };
    }).filter((t) => t.x.length);
    EV.draw(view.figure.plot, traces, {
      xaxis: { type: "log", title: EV.axisTitle(`images/s on ${a.split("@")[1]}`) },
      yaxis: { type: "log", title: EV.axisTitle(`images/s on ${b.split("@")[1]}`) },
    });
    const { agree, against, flips } = pairs(shown);
    const total = agree + against;
    view.says.textContent = `${EV.plural(both.length, "trial")} on both${
      step > 1 ? `, every ${step}th drawn and ranked` : ""
    }. Of ${total.toLocaleString("en-GB")} pairs that both targets tell apart beyond their 95 % intervals, ${
      against.toLocaleString("en-GB")
    } (${total ? (100 * against / total).toFixed(1) : 0} %) stand the other way round.`;
    EV.put(
      view.flips,
      flips.length
        ? EV.h(
          "table",
          {},
          EV.h("caption", {}, "The widest rank flips"),
          EV.h(
            "thead",
            {},
            EV.h(
              "tr",
              {},
              ["Faster across", "Faster up", `by, ${a.split("@")[1]}`, `by, ${b.split("@")[1]}`].map((t) =>
                EV.h("th", { scope: "col" }, t)
              ),
            ),
          ),
          EV.h(
            "tbody",
            {},
            flips.map(([p, q]) =>
              EV.h(
                "tr",
                {},
                [p, q].map((r) => EV.h("td", {}, link(r))),
                EV.h("td", { class: "number" }, `× ${EV.number(x.values[p] / x.values[q])}`),
                EV.h("td", { class: "number" }, `× ${EV.number(y.values[q] / y.values[p])}`),
              )
            ),
          ),
        )
        : "",
    );

    function link(row) {
      const label = EV.data.text.label[row];
      return EV.h("button", {
        type: "button",
        class: "link",
        onclick: () => EV.choose({ trial: label, view: "front" }, { push: true }),
      }, `${label} (${EV.data.text.mixers[row]})`);
    }

    function apart(column, p, q) { // 1, -1, or 0 when the intervals overlap
      const low = (r) => column.low && Number.isFinite(column.low[r]) ? column.low[r] : column.values[r];
      const high = (r) => column.high && Number.isFinite(column.high[r]) ? column.high[r] : column.values[r];
      return low(p) > high(q) ? 1 : low(q) > high(p) ? -1 : 0;
    }

    function pairs(rows) {
      let agree = 0, against = 0;
      const found = [];
      for (let i = 0; i < rows.length; i++) {
        for (let j = 0; j < i; j++) {
          const here = apart(x, rows[i], rows[j]), there = apart(y, rows[i], rows[j]);
          if (!here || !there) continue;
          if (here === there) {
            agree++;
            continue;
          }
          against++;
          const [p, q] = here > 0 ? [rows[i], rows[j]] : [rows[j], rows[i]];
          const width = Math.log(x.values[p] / x.values[q]) + Math.log(y.values[q] / y.values[p]);
          if (found.length < 20 || width > found[0][0]) {
            found.push([width, [p, q]]);
            found.sort((m, n) => m[0] - n[0]);
            if (found.length > 20) found.shift();
          }
        }
      }
      return { agree, against, flips: found.reverse().map(([, pair]) => pair) };
    }
  },
});
