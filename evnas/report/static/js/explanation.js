// needs: core.js
/* Why a trial stands where it does: who dominates it, what it breaks, what ended it. */

EV.MOST_DOMINATORS = 5;

EV.explanation = async (row) => {
  const section = EV.h("section", { class: "why" }, EV.h("h3", {}, "Why it stands here"));
  const { status, error, mixers } = EV.data.text,
    peer = mixers[row] === "timm",
    say = (text) => section.append(EV.h("p", {}, text));
  if (status[row] !== "complete") say(`It ended ${status[row]}${error[row] ? `: ${error[row]}` : ""}.`);
  if (!peer && EV.about.rungs.length && status[row] !== "infeasible") say(EV.rungText(row));
  if (peer) say("It is a peer from timm, measured here as a reference: it takes no place on the front.");
  for (const { key, at_most, bound } of EV.brokenConstraints(row)) {
    say(
      `It breaks ${EV.heading(key)} ${at_most ? "at most" : "at least"} ${EV.number(bound)}: ${
        EV.number(EV.data.numbers.get(key).values[row])
      }.`,
    );
  }
  const axes = EV.axes(EV.axisKeys());
  if (!axes.every(({ values }) => Number.isFinite(values[row]))) {
    const missing = axes.filter(({ values }) => !Number.isFinite(values[row])).map(({ key }) =>
      EV.heading(key, { unit: false })
    );
    if (status[row] === "complete") say(`It has no ${missing.join(" and no ")}, so it takes no place on these axes.`);
    return section;
  }
  const { count, surest } =
    await (EV.isPart() ? EV.source.why(EV.state.study, row, axes.map((a) => a.key)) : EV.dominators(row, axes));
  if (!count) {
    say(
      peer
        ? "No trial dominates it on these axes."
        : status[row] === "complete"
        ? "No trial dominates it on these axes: it is on the front."
        : "No complete trial is better on these axes.",
    );
  } else {
    say(
      `${EV.plural(count, "trial")} ${count === 1 ? "dominates" : "dominate"} it on these axes${
        count > EV.MOST_DOMINATORS ? "; the five surest" : ""
      }:`,
    );
    section.append(EV.dominatorTable(axes, surest));
  }
  return section;
};

/** How far up the ladder of successive halving a trial came; rung 0 is counting and speed. */
EV.rungText = (row) => {
  const { rungs, running } = EV.about, budget = EV.data.numbers.get("budget")?.values[row];
  const rung = rungs.filter((images) => images <= budget).length, top = rungs.length;
  const trained = rung
    ? `${EV.number(budget)} of ${EV.number(rungs.at(-1))} image presentations`
    : "counted and timed, not trained";
  if (rung === top && EV.data.text.status[row] === "complete") {
    return `It reached the last rung, ${top} of ${top}: ${trained}.`;
  }
  return `${
    running && EV.data.text.status[row] === "complete" ? "So far it is" : "It stopped"
  } at rung ${rung} of ${top}: ${trained}.`;
};

/** Bounds of the sweep that a row breaks. */
EV.brokenConstraints = (row) =>
  EV.about.constraints.filter(({ key, at_most, bound }) => {
    const v = EV.data.numbers.get(key)?.values[row];
    return Number.isFinite(v) && (at_most ? v > bound : v < bound);
  });

/** How many complete trials dominate a row, and the surest of them: by how much, how surely. */
EV.dominators = (row, axes) => {
  const found = [], { status, mixers, label } = EV.data.text;
  for (let other = 0; other < EV.data.n; other++) {
    if (other === row || status[other] !== "complete" || mixers[other] === "timm") continue;
    let worse = false, better = false;
    for (const { values, sign } of axes) {
      const lead = sign * (values[row] - values[other]);
      if (!(lead >= 0)) {
        worse = true;
        break;
      }
      if (lead > 0) better = true;
    }
    if (!worse && better) found.push([other, EV.dominanceProbability(other, row, axes)]);
  }
  found.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  return {
    count: found.length,
    surest: found.slice(0, EV.MOST_DOMINATORS).map(([other, probability]) => ({
      label: label[other],
      by: axes.map(({ values }) => values[other] - values[row]),
      probability,
    })),
  };
};

EV.dominatorTable = (axes, surest) => {
  const signed = (v) => v > 0 ? `+${EV.number(v)}` : EV.number(v), sure = (p) => p > 0.999 ? "> 0.999" : p.toFixed(3);
  const head = (text) => EV.h("th", { scope: "col", class: "number" }, text);
  return EV.h(
    "table",
    { class: "plain" },
    EV.h(
      "thead",
      {},
      EV.h(
        "tr",
        {},
        EV.h("th", { scope: "col" }, "Trial"),
        axes.map(({ key }) => head(`by, ${EV.heading(key)}`)),
        head("probability"),
      ),
    ),
    EV.h(
      "tbody",
      {},
      surest.map(({ label, by, probability }) =>
        EV.h(
          "tr",
          {},
          EV.h(
            "th",
            { scope: "row" },
            EV.h("button", { type: "button", class: "link", onclick: () => EV.choose({ trial: label }) }, label),
          ),
          by.map((v) => EV.h("td", { class: "number" }, signed(v))),
          EV.h("td", { class: "number" }, sure(probability)),
        )
      ),
    ),
  );
};
