// needs: panels.js
/* Two to four pinned trials side by side. */

EV.panel({
  name: "compare",
  title: "Compare",
  available: () => EV.pins().length > 0,
  badge: () => EV.pins().length,

  build(view) {
    view.node = EV.h("section", { "aria-label": "Compare" });
    view.shown = null;
    return view.node;
  },

  async refresh(view) {
    const labels = EV.pins();
    const key = JSON.stringify([labels, EV.data.lastId, EV.theme()]);
    if (key === view.shown) return;
    view.shown = key;
    if (labels.length < 2) {
      EV.put(
        view.node,
        EV.h(
          "p",
          { class: "note" },
          "Pin two to four trials, in the chart by clicking or in the table by their boxes, " +
            "and they are compared here.",
        ),
      );
      return;
    }
    const rows = labels.map((l) => EV.data.rows.get(l));
    const cards = await Promise.all(rows.map(EV.cardOf));
    if (view.shown !== key) return;
    EV.put(view.node, figures(rows, labels), differences(cards, labels), pictures(cards, labels));
    curves(view.node, cards, labels);
    parts(view.node, cards, labels);
    fields(view.node, cards, labels);

    function head(labels, first) {
      return EV.h(
        "thead",
        {},
        EV.h(
          "tr",
          {},
          EV.h("th", { scope: "col" }, first),
          labels.map((l) =>
            EV.h(
              "th",
              { scope: "col", class: "number" },
              `Trial ${l} `,
              EV.h("button", {
                type: "button",
                class: "small",
                "aria-label": `Unpin trial ${l}`,
                onclick: () => EV.togglePin(l),
              }, "×"),
            )
          ),
        ),
      );
    }

    function figures(rows, labels) {
      const keys = EV.axisChoices().filter((k) =>
        !["number", "ended"].includes(k) && rows.some((r) => Number.isFinite(EV.data.numbers.get(k).values[r]))
      );
      const best = (k) => {
        const better = EV.better(k), values = rows.map((r) => EV.data.numbers.get(k).values[r]);
        const ranked = EV.data.numbers.get(k).better || EV.about.objectives.some((o) => o.key === k);
        return ranked && new Set(values).size > 1
          ? (better === "more" ? Math.max : Math.min)(...values.filter(Number.isFinite))
          : NaN;
      };
      const lines = keys.map((k) => {
        const top = best(k);
        const cells = rows.map((r) => {
          const text = EV.cellWithSpread(k, r), wins = EV.data.numbers.get(k).values[r] === top;
          return EV.h("td", { class: "number" }, wins ? EV.h("strong", {}, text) : text);
        });
        return EV.h("tr", {}, EV.h("th", { scope: "row" }, EV.heading(k)), cells);
      });
      const caption = "Figures, with 95 % intervals; the best of each row is bold";
      return EV.listing("Figures", caption, head(labels, "Quantity"), lines);
    }

    function differences(cards, labels) {
      const archs = cards.map((c) => c.arch);
      if (archs.some((a) => a.timm)) {
        return EV.note("A timm peer has no architecture in the path language to compare.");
      }
      const changes = archs.map((a) => new Map(EV.diff(archs[0], a).map(([path, old, now]) => [path, [old, now]])));
      const paths = [...new Set(changes.flatMap((c) => [...c.keys()]))];
      const say = (v) => v === null || v === undefined ? "–" : String(v);
      const lines = paths.map((p) => {
        const first = changes.find((c) => c.has(p)).get(p)[0];
        const now = (c) => c.has(p) ? EV.h("strong", {}, say(c.get(p)[1])) : "·";
        const cells = changes.map((c, i) => EV.h("td", { class: "number" }, i === 0 ? say(first) : now(c)));
        return EV.h("tr", {}, EV.h("th", { scope: "row" }, EV.h("code", {}, p)), cells);
      });
      const differ = `What differs from trial ${labels[0]}, in the path language`;
      const caption = paths.length ? differ : "The architectures are equal";
      return EV.listing("Differences", caption, paths.length ? head(labels, "Path") : null, lines);
    }

    function pictures(cards, labels) {
      return EV.h(
        "div",
        { class: "columns", tabindex: "0", role: "region", "aria-label": "Architectures" },
        cards.map((c, i) => EV.h("div", {}, EV.h("h3", {}, `Trial ${labels[i]}`), EV.picture(c))),
      );
    }

    function curves(node, cards, labels) {
      const { data, layout } = EV.curveFigure(cards);
      if (!data.length) return;
      const figure = EV.figure("curves", "Learning curves", `Learning curves of trials ${labels.join(", ")}`);
      node.append(figure.node);
      EV.draw(figure.plot, data, layout);
    }

    function parts(node, cards, labels) {
      const each = [
        ["time", "Time by part", times, "ms"],
        ["kinds", "Time by kind of operator", kinds, "ms"],
        ["macs", "FLOPs by part", counts, "FLOPs, M"],
      ];
      for (const [name, caption, found, title] of each) {
        const words = `${caption} of trials ${labels.join(", ")}`;
        bars(node, cards.map((c) => found(c)), { name, caption, words, title, labels });
      }
    }

    function breakdown(card) { // Record.details["breakdown"]: latency_ms, parts_ms, operators_fraction
      return card.phases.find((p) => p.details.breakdown)?.details.breakdown ||
        { parts_ms: {}, operators_fraction: {} };
    }

    function times(card) {
      return new Map(Object.entries(breakdown(card).parts_ms));
    }

    function kinds(card) {
      const { latency_ms, operators_fraction } = breakdown(card);
      return new Map(Object.entries(operators_fraction).map(([kind, share]) => [kind, share * latency_ms]));
    }

    function counts(card) {
      const given = card.phases.find((p) => Array.isArray(p.details.parts))?.details.parts || [];
      const sums = new Map();
      for (const { path, macs_exact } of given) {
        const name = path.replace(/\.blocks\[\d+\]/, " blocks");
        sums.set(name, (sums.get(name) || 0) + macs_exact / 1e6);
      }
      return sums;
    }

    function bars(node, found, { name, caption, words, title, labels }) {
      const names = [...new Set(found.flatMap((m) => [...m.keys()]))];
      if (!names.length) return;
      const figure = EV.figure(name, caption, words);
      node.append(figure.node);
      const colours = EV.PALETTE[EV.theme()];
      EV.draw(
        figure.plot,
        found.map((m, i) => ({
          type: "bar",
          name: `Trial ${labels[i]}`,
          x: names.map(EV.escaped),
          y: names.map((n) => m.get(n) ?? 0),
          marker: { color: colours[i], pattern: EV.hatched(i) },
        })),
        { barmode: "group", yaxis: { title: EV.axisTitle(title) } },
      );
    }

    function fields(node, cards, labels) { // a field's map: rows from the top, 0 to 1
      if (!cards.some((c) => c.fields.length)) return;
      node.append(
        EV.h("h3", {}, "Effective receptive fields"),
        EV.h(
          "div",
          { class: "columns", tabindex: "0", role: "region", "aria-label": "Effective receptive fields" },
          cards.flatMap((card, i) =>
            card.fields.length
              ? card.fields.map((field) => drawn(field, labels[i]))
              : [EV.note(`Trial ${labels[i]}: not taken`)]
          ),
        ),
      );
    }

    function drawn({ map, resolution, weights, area_fraction }, label) {
      const height = map.length, width = map[0].length, top = Math.max(...map.flat());
      const taken = [
        resolution ? `${resolution} px` : "",
        weights ? `weights ${weights}` : "",
        area_fraction === null ? "" : `${(100 * area_fraction).toFixed(1)} % of the area at 5 % of the peak or above`,
      ].filter(Boolean).join(", ");
      const canvas = EV.h("canvas", {
        width,
        height,
        class: "erf",
        role: "img",
        "aria-label": `Effective receptive field of trial ${label}, ${taken}`,
      });
      const context = canvas.getContext("2d"), image = context.createImageData(width, height);
      map.flat().forEach((v, j) => {
        const light = 255 * Math.sqrt(v / (top || 1));
        image.data.set([light * 0.95, light * 0.8, 60 + light * 0.3, 255], 4 * j);
      });
      context.putImageData(image, 0, 0);
      return EV.h("div", {}, EV.h("h4", {}, `Trial ${label}`), canvas, EV.note(taken));
    }
  },
});
