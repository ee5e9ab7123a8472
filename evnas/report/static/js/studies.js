// needs: core.js
/* All studies of the results folder, running ones live. */

/** The best figure by an objective; `place` tells targets apart where there are several. */
EV.bestText = (b) => `${b.name}${b.place ? ` on ${b.place}` : ""} ${EV.number(b.value)} ${b.unit}`.trim();

/** A link to what a study's sweep would run, or runs. */
EV.planLink = (study, text) => EV.h("a", { href: `plan?${new URLSearchParams({ study })}` }, text);

/** Studies ticked to be set side by side, in the order of ticking. */
EV.beside = new Set();

EV.studiesPage = async () => {
  const main = EV.$("main");
  const draw = async () => {
    if (EV.state.study) return;
    let studies;
    try {
      studies = await EV.source.studies();
    } catch (e) {
      EV.put(main, EV.h("p", { class: "note wrong" }, e.message));
      return;
    }
    if (EV.state.study) return;
    const had = document.activeElement?.id;
    EV.put(
      main,
      EV.h(
        "section",
        { "aria-label": "All studies" },
        EV.h("h1", {}, "Studies"),
        compared(studies),
        studies.length ? table(studies) : EV.h(
          "p",
          { class: "note" },
          "No study is here yet. `evnas sweep` makes one, and it will appear by itself.",
        ),
      ),
    );
    if (had) EV.$(had)?.focus(); // drawn again, and the focus stays
  };
  await draw();
  clearInterval(EV.studiesTimer);
  EV.studiesTimer = setInterval(() => {
    if (!EV.state.study && !document.hidden) draw();
  }, 1500);

  function compared(studies) {
    const there = studies.filter((s) => !s.error && !s.planned).map((s) => s.name);
    for (const name of EV.beside) if (!there.includes(name)) EV.beside.delete(name);
    if (there.length < 2) return null;
    const query = new URLSearchParams([...EV.beside].map((name) => ["study", name]));
    return EV.h(
      "p",
      { class: "note", id: "compared" },
      EV.beside.size < 2
        ? "Tick two studies or more, the first of them first, to see how they differ."
        : EV.h("a", { href: `compare?${query}`, id: "compare" }, `Compare ${[...EV.beside].join(" with ")}`),
    );
  }

  function tick(name) {
    const toggle = (e) => {
      EV.beside[e.target.checked ? "add" : "delete"](name);
      draw();
    };
    return EV.h("input", {
      type: "checkbox",
      id: `beside-${name}`,
      checked: EV.beside.has(name),
      "aria-label": `Compare ${name}`,
      onchange: toggle,
    });
  }

  function table(studies) {
    const heads = ["Study", "Kind", "Progress", "Best", "Hypervolume", "Begun", "Where"];
    return EV.scrolled(
      "Studies",
      EV.h(
        "table",
        { id: "studies" },
        EV.h("thead", {}, EV.h("tr", {}, heads.map((t) => EV.h("th", { scope: "col" }, t)))),
        EV.h("tbody", {}, studies.map(row)),
      ),
    );
  }

  function underWay({ phases, now, left_s }) {
    const names = [...new Set(now.map((work) => work.phase))].filter((name) => phases[name]);
    const done = names.map((name) => `${name} ${phases[name].done} of ${phases[name].total}`);
    return [...done, `about ${EV.duration(left_s)} left`].join(", ");
  }

  /** A cell of several things that stay together: on a phone its children stand beside each other. */
  function whole(...things) {
    return EV.h("td", {}, EV.h("div", {}, things));
  }

  function row(s) {
    if (s.error) {
      return EV.h("tr", {}, EV.h("th", { scope: "row" }, s.name), EV.h("td", { colspan: 6, class: "wrong" }, s.error));
    }
    if (s.planned) {
      const { trials, seconds, made } = s.planned;
      return EV.h(
        "tr",
        {},
        EV.h("th", { scope: "row" }, EV.planLink(s.name, s.name)),
        EV.h("td", {}, "planned"),
        EV.h("td", {}, `${EV.plural(trials, "trial")}, about ${EV.duration(seconds)}; planned ${EV.when(made)}`),
        EV.h("td", { colspan: 4 }),
      );
    }
    const others = Object.entries(s.states).filter(([k]) => k !== "complete").map(([k, n]) =>
      `${n.toLocaleString("en-GB")} ${k}`
    ).join(", ");
    return EV.h(
      "tr",
      {},
      EV.h(
        "th",
        { scope: "row" },
        tick(s.name),
        EV.h("a", { href: `#study=${encodeURIComponent(s.name)}` }, s.name),
        s.title !== s.name ? EV.h("small", { class: "title" }, s.title) : null,
      ),
      EV.h("td", {}, s.kind),
      whole(
        s.control.paused
          ? EV.h("span", { class: "status" }, "paused")
          : s.running
          ? EV.h("span", { class: "status running" }, "running")
          : null,
        ` ${EV.plural(s.trials, "trial")}${s.expected ? ` of ${s.expected.toLocaleString("en-GB")}` : ""}`,
        s.running && s.progress ? EV.h("small", { class: "title under-way" }, underWay(s.progress)) : null,
        others ? EV.h("small", { class: "title" }, others) : null,
        s.reading.done < s.reading.of ? EV.h("small", { class: "title" }, "still reading") : null,
      ),
      whole(s.best.map((b) => EV.h("div", {}, `${EV.bestText(b)} (${b.label})`))),
      EV.h("td", { class: "number" }, Number.isFinite(s.hypervolume ?? NaN) ? s.hypervolume.toFixed(3) : "–"),
      EV.h("td", {}, EV.when(s.started)),
      EV.h("td", {}, s.where),
    );
  }
};
