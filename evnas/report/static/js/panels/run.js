// needs: panels.js
/* How a sweep is getting on: its phases, what its workers do, its last words; and where it may be controlled. */

EV.panel({
  name: "run",
  title: "Run",
  available: () => EV.source.live && Boolean(EV.about.progress || EV.about.may_control),

  build(view) {
    view.shown = null;
    view.state = EV.h("div");
    view.rest = EV.h("div", { class: "stacked" });
    view.controls = EV.about.may_control ? EV.runControls() : { node: null, refresh() {} };
    return EV.h("section", { "aria-label": "Run" }, view.state, view.controls.node, view.rest);
  },

  async refresh(view) {
    const { progress, control, annotations, running, asked } = EV.about;
    const key = JSON.stringify([EV.data.lastId, progress?.at, control, annotations, running, asked]);
    if (key === view.shown) return;
    view.shown = key;
    const found = await EV.panelData("run");
    if (view.shown !== key) return;
    view.controls.refresh();
    EV.put(view.state, EV.runState(found));
    EV.put(
      view.rest,
      progress ? EV.runPhases(progress) : null,
      progress && running ? EV.runWorkers(progress) : null,
      progress?.said.length
        ? [EV.h("h3", {}, "Last words"), EV.h("pre", { id: "run-said" }, progress.said.join("\n"))]
        : null,
      EV.runFailures(found.failures),
      EV.runConditions(found.conditions),
      EV.runNotes(),
    );
  },
});

/** Running, paused or away; how much is done, how fast, how long it takes. */
EV.runState = ({ trials_per_hour }) => {
  const { progress, control, running, asked } = EV.about;
  const state = control.paused ? "paused" : running ? "running" : "not running";
  const words = [
    control.paused ? `since ${EV.when(control.since)}` : "",
    running && !control.paused && progress ? `about ${EV.duration(progress.left_s)} left` : "",
    trials_per_hour ? `${EV.number(trials_per_hour)} trials an hour lately` : "",
    !running && progress ? `last seen ${EV.when(progress.at)} on ${progress.host}` : "",
    asked.length ? `asked for and not taken yet: ${asked.join(", ")}` : "",
  ].filter(Boolean);
  return [
    EV.h(
      "p",
      { id: "run-state" },
      EV.h("span", { class: `status${running && !control.paused ? " running" : ""}` }, state),
      ` ${words.join("; ")}`,
    ),
    progress
      ? EV.h("progress", { max: 1, value: progress.done_fraction, "aria-label": "Share of the time that is over" })
      : null,
    EV.note(EV.planLink(EV.about.name, "The plan of this sweep")),
    control.paused && !running ? EV.note(`evnas store resume results/${EV.about.name} lets it go on.`) : null,
  ];
};

EV.runPhases = ({ phases }) =>
  EV.listing(
    "Phases",
    "Work by phase",
    ["Phase", "Done", "Of"],
    Object.entries(phases).map(([phase, { done, total }]) =>
      EV.h(
        "tr",
        {},
        EV.h("th", { scope: "row" }, phase),
        EV.h("td", { class: "number" }, done.toLocaleString("en-GB")),
        EV.h("td", { class: "number" }, total.toLocaleString("en-GB")),
      )
    ),
  );

EV.runWorkers = ({ now }) =>
  EV.listing(
    "Workers",
    now.length ? "What is under way" : "Nothing is under way",
    now.length ? ["Trial", "Phase", "Target", "Doing", "For"] : null,
    now.map((work) =>
      EV.h(
        "tr",
        {},
        EV.h("th", { scope: "row" }, work.label),
        EV.h("td", {}, work.phase),
        EV.h("td", {}, work.target),
        EV.h("td", {}, [work.fraction ? `${Math.round(100 * work.fraction)} %` : "", work.text].join(" ").trim()),
        EV.h("td", { class: "number" }, EV.duration(work.seconds)),
      )
    ),
  );

EV.runFailures = (failures) =>
  EV.listing(
    "Failures",
    failures.length
      ? "Trials that did not complete, by kind"
      : EV.data.n
      ? "Every trial so far is complete"
      : "No trial has ended yet",
    failures.length ? ["Ended", "Trials", "Reason"] : null,
    failures.map(({ status, reason, trials }) =>
      EV.h(
        "tr",
        {},
        EV.h("th", { scope: "row" }, EV.h("span", { class: `status ${status}` }, status)),
        EV.h("td", { class: "number" }, trials.toLocaleString("en-GB")),
        EV.h("td", { class: "wrong" }, reason),
      )
    ),
  );

EV.runConditions = ({ warnings = [], ...plain }) =>
  Object.keys(plain).length
    ? [
      EV.h("h3", {}, "Conditions of the newest speed"),
      EV.h("ul", { class: "note wrong" }, warnings.map((text) => EV.h("li", {}, text))),
      EV.h(
        "dl",
        {},
        Object.entries(plain).map(([name, value]) => [
          EV.h("dt", {}, name.replaceAll("_", " ")),
          EV.h("dd", {}, typeof value === "number" ? EV.number(value) : value),
        ]),
      ),
    ]
    : null;

EV.runNotes = () =>
  EV.about.annotations.length
    ? [
      EV.h("h3", {}, "Notes on trials"),
      EV.h(
        "ul",
        { id: "run-notes" },
        EV.about.annotations.map(({ label, mark, text }) =>
          EV.h(
            "li",
            {},
            EV.h("button", {
              type: "button",
              class: "link",
              onclick: () => EV.choose({ view: null, trial: label }),
            }, `Trial ${label}`),
            ` ${EV.MARKS[mark]} ${text}`,
          )
        ),
      ),
    ]
    : null;

/** Buttons that ask the study's driver for something; they are built once, so that what is typed stays. */
EV.runControls = () => {
  const says = EV.h("p", { class: "note", id: "run-answer", role: "status" });
  const ask = async (request) => {
    try {
      says.textContent = await EV.ask(request);
      says.classList.remove("wrong");
    } catch (e) {
      says.textContent = e.message;
      says.classList.add("wrong");
    }
  };
  const button = (action, label) =>
    EV.h("button", { type: "button", id: `run-${action}`, onclick: () => ask({ action }) }, label);
  const pause = button("pause", "Pause"), resume = button("resume", "Resume"), stop = button("stop", "Stop");
  const budget = /^budget:\n(?: .*\n?)*/m.exec(EV.about.sweep)?.[0] || "";
  const kinds = ["trials", "minutes"].filter((kind) => new RegExp(`^ +(device_)?${kind}: [0-9]`, "m").test(budget));
  const more = EV.h("input", { type: "number", min: 1, value: 10, id: "run-more", "aria-label": "How many more" });
  const kind = EV.h(
    "select",
    { id: "run-kind", "aria-label": "More of what" },
    kinds.map((k) => EV.h("option", {}, k)),
  );
  const extend = EV.h("button", {
    type: "button",
    id: "run-extend",
    onclick: () => ask({ action: "extend", [kind.value]: Number(more.value) }),
  }, "Extend");
  return {
    node: EV.h(
      "div",
      {},
      EV.h("div", { class: "controls" }, pause, resume, stop, kinds.length ? [more, kind, extend] : null),
      says,
    ),
    refresh() {
      const { control, running } = EV.about;
      pause.disabled = Boolean(control.paused);
      resume.disabled = !control.paused;
      stop.disabled = !running;
    },
  };
};

/** Ask something of the open study, and take in what has changed. */
EV.ask = async (request) => {
  const study = EV.state.study, { said } = await EV.source.control(study, request);
  await EV.takeAbout(study);
  return said;
};

/** What a trial may be marked with. */
EV.MARKS = { "": "", star: "★", question: "?", cross: "✗" };

/** A trial's note; where studies may be controlled, with the means to change it. */
EV.noteOn = (label, digest) => {
  const note = EV.noteOf(label, digest), { may_control } = EV.about;
  if (!may_control) {
    return note ? EV.h("p", { class: "note", id: "trial-note" }, `${EV.MARKS[note.mark]} ${note.text}`) : null;
  }
  const trial = JSON.stringify([EV.state.study, label, digest]);
  const draft = EV.drafts.get(trial) || { mark: note?.mark || "", text: note?.text || "" };
  const keep = () => EV.drafts.set(trial, { mark: mark.value, text: text.value });
  const mark = EV.h(
    "select",
    { id: "note-mark", "aria-label": "Mark", onchange: keep },
    Object.entries(EV.MARKS).map(([name, sign]) =>
      EV.h("option", { value: name, selected: name === draft.mark }, sign || "no mark")
    ),
  );
  const text = EV.h("textarea", { id: "note-text", rows: 2, maxlength: 2000, "aria-label": "Note", oninput: keep });
  text.value = draft.text;
  const says = EV.h("span", { class: "note", role: "status" });
  const save = async () => {
    try {
      EV.drafts.delete(trial);
      says.textContent = await EV.ask({ action: "annotate", label, digest, mark: mark.value, text: text.value });
    } catch (e) {
      keep();
      says.textContent = e.message;
    }
  };
  return EV.h(
    "div",
    { id: "trial-note" },
    text,
    EV.h(
      "div",
      { class: "controls" },
      mark,
      EV.h("button", { type: "button", class: "small", id: "note-save", onclick: save }, "Save note"),
      says,
    ),
  );
};
EV.noteOf = (label, digest) => EV.about.annotations?.find((note) => note.label === label && note.digest === digest);

/** What is typed and not saved yet, by study and trial. */
EV.drafts = new Map();
