// needs: core.js
/* One trial: its card on hover, and beside the chart all about it, with why it stands where it does. */

EV.hoverCard = (row, pointer) => {
  const node = EV.$("hover"), text = EV.data.text;
  const keys = [...new Set([EV.xKey(), EV.yKey(), EV.zKey(), EV.colourKey(), "params_m", "macs_exact_g"])].filter((k) =>
    k && EV.data.numbers.has(k)
  );
  EV.put(
    node,
    EV.h("b", {}, `Trial ${text.label[row]}`),
    EV.h("span", { class: `status ${text.status[row]}` }, text.status[row]),
    EV.h(
      "div",
      {},
      EV.h("span", { class: "swatch", style: { background: EV.mixerColour(text.mixers[row]) } }),
      `${text.mixers[row]}  ${text.dims[row]}  depth ${text.depths[row]}`,
    ),
    EV.h(
      "dl",
      {},
      keys.map((
        k,
      ) => [EV.h("dt", {}, EV.heading(k, { unit: false })), EV.h("dd", {}, EV.cellWithSpread(k, row) + EV.unit(k))]),
    ),
    text.changed[row] ? EV.h("div", { class: "note" }, text.changed[row]) : null,
    text.error[row] ? EV.h("div", { class: "note" }, text.error[row]) : null,
  );
  node.hidden = false;
  const { clientX: x, clientY: y } = pointer;
  node.style.left = `${Math.max(8, Math.min(x + 16, innerWidth - node.offsetWidth - 8))}px`;
  node.style.top = `${Math.max(8, Math.min(y + 16, innerHeight - node.offsetHeight - 8))}px`;
};
EV.hideHover = () => {
  EV.$("hover").hidden = true;
};

EV.cards = new Map(); // row -> {touched, card}: a card is fetched again when its trial got a record

EV.cardOf = async (row) => {
  const stamp = `${EV.state.study} ${row} ${EV.data.text.phases[row]} ${EV.data.numbers.get("seconds").values[row]}`;
  if (EV.cards.get(row)?.stamp !== stamp) EV.cards.set(row, { stamp, card: EV.source.card(EV.state.study, row) });
  return EV.cards.get(row).card;
};

EV.trialPanel = async (aside) => {
  const label = EV.state.trial, row = EV.data.rows.get(label);
  if (row === undefined) {
    aside.dataset.shows = "";
    const aims = EV.about.best.map((b) =>
      EV.h(
        "li",
        {},
        `${EV.bestText(b)}, trial `,
        EV.h("button", { type: "button", class: "link", onclick: () => EV.choose({ trial: b.label }) }, b.label),
      )
    );
    EV.put(
      aside,
      EV.h("h2", {}, "Trial"),
      EV.h(
        "p",
        { class: "note" },
        "Choose a point or a row to see its architecture, how it was measured, and who dominates it. " +
          "Clicking a point pins it; pinned trials are compared.",
      ),
      aims.length ? EV.h("h3", {}, "Best so far") : null,
      EV.h("ul", {}, aims),
    );
    return;
  }
  const shows = JSON.stringify([
    label,
    EV.data.lastId,
    EV.xKey(),
    EV.yKey(),
    EV.zKey(),
    EV.theme(),
    EV.state.pins,
    EV.about.annotations,
  ]);
  if (aside.dataset.shows === shows) return;
  aside.dataset.shows = shows;
  let card, why;
  try {
    [card, why] = await Promise.all([EV.cardOf(row), EV.explanation(row)]);
  } catch (e) {
    EV.put(aside, EV.h("p", { class: "note wrong" }, e.message));
    return;
  }
  if (aside.dataset.shows !== shows) return; // another was chosen meanwhile
  const pinned = EV.pins().includes(label),
    had = aside.contains(document.activeElement) ? document.activeElement.id : null;
  EV.put(
    aside,
    EV.h(
      "div",
      { class: "head" },
      EV.h("h2", {}, `Trial ${label}`),
      EV.h("span", { class: `status ${EV.data.text.status[row]}` }, EV.data.text.status[row]),
      EV.h("button", {
        type: "button",
        class: "small",
        id: "pin-this",
        "aria-pressed": String(pinned),
        onclick: () => EV.togglePin(label),
      }, pinned ? "Pinned" : "Pin"),
      EV.h("button", {
        type: "button",
        class: "small",
        id: "close-trial",
        "aria-label": "Close trial",
        onclick: () => {
          EV.choose({ trial: null });
          EV.$(`trial-${row}`)?.focus();
        },
      }, "×"),
    ),
    EV.note(`${card.digest} · ${card.origin || "no origin noted"}`),
    EV.data.text.changed[row] ? EV.h("p", { class: "changed" }, `Changed: ${EV.data.text.changed[row]}`) : null,
    EV.noteOn(label, card.digest),
    EV.picture(card),
    EV.figuresOf(row),
    why,
    EV.measurements(card),
  );
  if (had) EV.$(had)?.focus(); // its place was drawn again
};

/** The trial's figures. */
EV.figuresOf = (row) => {
  const keys = [
    ...new Set([
      ...EV.about.objectives.map((o) => o.key),
      EV.xKey(),
      EV.yKey(),
      "params_m",
      "macs_exact_g",
      "macs_paper_g",
      "seeds",
      "budget",
    ]),
  ];
  return EV.h(
    "dl",
    { class: "facts" },
    keys.filter((k) => EV.data.numbers.has(k) && Number.isFinite(EV.data.numbers.get(k).values[row])).map((
      k,
    ) => [EV.h("dt", {}, EV.heading(k, { unit: false })), EV.h("dd", {}, EV.cellWithSpread(k, row) + EV.unit(k))]),
  );
};

/** How each phase went: samples, retakes, conditions, the curve. */
EV.measurements = (card) =>
  EV.h(
    "section",
    {},
    EV.h("h3", {}, "How it was measured"),
    card.phases.map((phase) => {
      const where = [
        phase.phase,
        phase.target,
        phase.phase === "proxy" ? `seed ${phase.seed}, ${EV.number(phase.budget)} images` : "",
      ].filter(Boolean).join(" · ");
      const parts = [];
      for (const [name, m] of Object.entries(phase.measurements)) {
        if (name.startsWith("base_") || (name === "latency_ms" && phase.measurements.throughput_img_s)) continue;
        parts.push(
          EV.h(
            "p",
            { class: "note" },
            `${name}: ${EV.plural(m.samples.length, "sample")}, ${EV.number(Math.min(...m.samples))} to ${
              EV.number(Math.max(...m.samples))
            }${retakes(m)}`,
          ),
        );
        if (m.samples.length > 1) {
          parts.push(
            EV.spark(m.samples.map((s, i) => [i, s]), {
              dots: true,
              words: `${EV.plural(m.samples.length, "sample")} of ${name} in the order taken`,
            }),
          );
        }
        parts.push(conditions(m.conditions));
      }
      if (phase.curve.length > 1) {
        const y = "top1_percent" in phase.curve[0] ? "top1_percent" : "loss";
        const x = (p, i) => p.images ?? p.epoch ?? i;
        parts.push(
          EV.spark(phase.curve.map((p, i) => [x(p, i), p[y]]).filter((p) => p.every(Number.isFinite)), {
            words: `learning curve, ${y} over ${EV.plural(phase.curve.length, "point")}`,
          }),
          EV.note(`${y}: ${EV.number(phase.curve[0][y])} to ${EV.number(phase.curve.at(-1)[y])}`),
        );
      }
      if (phase.error) parts.push(EV.h("pre", {}, phase.error));
      return EV.h(
        "details",
        { open: phase.status !== "complete" },
        EV.h(
          "summary",
          {},
          where,
          " ",
          EV.h("span", { class: `status ${phase.status}` }, phase.status),
          EV.h("small", {}, ` ${EV.duration(phase.seconds)}`),
        ),
        parts,
      );

      function retakes(m) {
        const again = m.conditions.retaken, n = Array.isArray(again) ? again.length : Number(again) || 0;
        return n ? `, ${EV.plural(n, "round")} taken again` : "";
      }
      function conditions(given) {
        const leaves = EV.leaves(given).filter(([, v]) => v !== null && v !== "").slice(0, 40);
        return leaves.length
          ? EV.h(
            "details",
            { class: "quiet" },
            EV.h("summary", {}, "conditions"),
            EV.h(
              "dl",
              { class: "facts" },
              leaves.map((
                [place, v],
              ) => [EV.h("dt", {}, EV.spell(place)), EV.h("dd", {}, typeof v === "number" ? EV.number(v) : String(v))]),
            ),
          )
          : null;
      }
    }),
  );
