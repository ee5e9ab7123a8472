// needs: panels.js
/* What the figures were taken under, and the command that takes them again. */

EV.panel({
  name: "conditions",
  title: "Conditions",
  available: () => true,

  build(view) {
    view.node = EV.h("section", { "aria-label": "Conditions" });
    view.shown = null;
    return view.node;
  },

  refresh(view) {
    const about = EV.about;
    const key = JSON.stringify([about.name, about.sweep.length, about.started, about.trials > 0, about.running]);
    if (key === view.shown) return;
    view.shown = key;
    const copy = EV.h("button", {
      type: "button",
      class: "small",
      onclick: async () => {
        await navigator.clipboard.writeText(about.command);
        EV.announce("Copied");
        copy.textContent = "Copied";
      },
    }, "Copy");
    const facts = EV.leaves(about.environment).filter(([, v]) => v !== null && v !== "");
    const waits = about.trials ? null : EV.h(
      "p",
      { class: "note", id: "no-trial" },
      `No trial has ended yet.${
        about.running
          ? " The first will appear here by itself."
          : " The sweep is not running; the command below goes on with it."
      }`,
    );
    EV.put(
      view.node,
      waits,
      EV.h("h2", {}, "To take them again"),
      EV.h("p", { class: "command" }, EV.h("code", {}, about.command), navigator.clipboard ? copy : null),
      EV.h(
        "p",
        { class: "note" },
        `Begun ${EV.when(about.started)}; ${about.where || "machine not noted"}; shown by evnas ${about.version}.`,
      ),
      EV.h(
        "div",
        { class: "columns" },
        EV.h(
          "div",
          {},
          EV.h("h2", {}, "Environment"),
          !facts.length ? EV.note("not noted") : EV.h(
            "dl",
            { class: "facts" },
            facts.map(([place, v]) => [EV.h("dt", {}, EV.spell(place)), EV.h("dd", {}, String(v))]),
          ),
        ),
        EV.h("div", {}, EV.h("h2", {}, "The resolved sweep"), EV.h("pre", { tabindex: "0" }, about.sweep)),
      ),
    );
  },
});
