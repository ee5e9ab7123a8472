// needs: core.js
/* The table: every trial, any column, sorted and filtered; it carries all that the chart shows. */

EV.PAGE = 50;
EV.table = {};
EV.byText = new Intl.Collator("en", { numeric: true });

EV.table.build = () => {
  const table = EV.table;
  table.filter = EV.h("input", {
    id: "filter",
    type: "search",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "filter-says",
    placeholder: "hsm_ssd  params_m<15  status:diverged  -sa",
    oninput: EV.debounced(120, () => EV.choose({ filter: table.filter.value, page: null })),
  });
  table.says = EV.h("p", { id: "filter-says", class: "note", role: "status" });
  table.chips = EV.h("span", { class: "chips" });
  table.columns = EV.h("details", { class: "menu" });
  table.exports = EV.h("span", { class: "tools" });
  table.head = EV.h("thead");
  table.body = EV.h("tbody");
  table.stamps = {};
  table.pager = EV.h("nav", { class: "pager", "aria-label": "Pages of the table" });
  return EV.h(
    "section",
    { class: "table", "aria-label": "Table of trials" },
    EV.h(
      "div",
      { class: "bar" },
      EV.h("label", { class: "filter" }, EV.h("span", {}, "Filter"), table.filter),
      table.chips,
      table.columns,
      table.exports,
    ),
    table.says,
    EV.scrolled("Trials", EV.h("table", { id: "trials" }, table.head, table.body)),
    table.pager,
  );
};

EV.table.keys = () => {
  const all = EV.table.all();
  if (EV.state.cols) {
    const chosen = EV.state.cols.split("~").filter((k) => all.includes(k));
    if (chosen.length) return chosen;
  }
  const aims = EV.about.objectives.map((o) => o.key);
  const first = all.filter((k) => /^(throughput_img_s|throughput_ratio|top1_percent)(@|$)/.test(k) && !aims.includes(k))
    .slice(0, 3);
  const wish = [
    "label",
    ...(EV.about.kind === "ablation" ? ["changed"] : []), // of a search all of them differ from the base
    "status",
    "mixers",
    "dims",
    "depths",
    ...aims,
    ...first,
    "params_m",
    "macs_exact_g",
    "macs_paper_g",
    ...all.filter((k) => k.startsWith("printed ")),
    "seeds",
    "origin",
    "error",
  ];
  return [...new Set(wish)].filter((k) =>
    all.includes(k) && (!["error", "changed"].includes(k) || EV.data.text[k].some((text) => text))
  );
};

EV.table.all = () => [...Object.keys(EV.data.text), ...EV.data.numbers.keys()];

EV.table.refresh = () => {
  const table = EV.table;
  const part = EV.isPart() && EV.data.view;
  const { rows, problem } = part ? { rows: part.page, problem: part.problem } : EV.visibleRows();
  const sort = EV.state.sort || "number", falling = sort.startsWith("-"), key = sort.replace(/^-/, "");
  const ordered = part ? rows : sorted(rows), total = part ? part.total : ordered.length;
  const pages = Math.max(1, Math.ceil(total / EV.PAGE));
  const page = Math.min(Math.max(1, Number(EV.state.page) || 1), pages);
  const shown = part ? rows : ordered.slice((page - 1) * EV.PAGE, page * EV.PAGE);
  if (document.activeElement !== table.filter) table.filter.value = EV.state.filter || "";
  table.filter.setAttribute("aria-invalid", String(Boolean(problem)));
  table.says.textContent = problem
    ? `The filter cannot be read: ${problem}`
    : `${total.toLocaleString("en-GB")} of ${EV.plural(EV.data.n, "trial")}`;
  table.says.classList.toggle("wrong", Boolean(problem));
  // each part is built again only when what it shows has changed: a zoom changes none of them
  const keys = EV.table.keys(), all = EV.table.all(), pins = EV.pins();
  table.ordered = ordered;
  const focused = document.activeElement?.closest?.(".table") ? document.activeElement.id : null;
  rebuild("chips", [EV.state.lasso], chips);
  rebuild("menu", [keys, all, EV.about.targets], menu);
  rebuild("exports", [keys, pins, EV.about.name], exportsOf);
  rebuild("head", [keys, sort, EV.about.targets], head);
  rebuild("body", [keys, shown, pins, EV.state.trial, EV.data.lastId, EV.printedFor, EV.theme(), EV.about.name], body);
  rebuild("pager", [page, pages], pager);
  if (focused && document.activeElement?.id !== focused) EV.$(focused)?.focus();

  function rebuild(part, given, build) {
    const stamp = JSON.stringify(given);
    if (table.stamps[part] !== stamp) build();
    table.stamps[part] = stamp;
  }

  function sorted(rows) {
    const text = EV.data.text[key], values = EV.data.numbers.get(key)?.values;
    if (text) {
      const way = falling ? -1 : 1;
      return [...rows].sort((a, b) => way * EV.byText.compare(text[a], text[b]));
    }
    if (!values || key === "number" && !falling) return rows;
    const last = (v) => Number.isFinite(v) ? (falling ? -v : v) : Infinity; // what has no value comes last
    return [...rows].sort((a, b) => {
      const [x, y] = [last(values[a]), last(values[b])];
      return x === y ? a - b : x - y;
    });
  }

  function chips() {
    EV.put(
      table.chips,
      ...(EV.state.lasso
        ? [EV.h("button", {
          type: "button",
          class: "chip",
          id: "drop-lasso",
          onclick: () => EV.choose({ lasso: null, page: null }),
        }, "lasso ×")]
        : []),
    );
  }

  function menu() {
    const open = table.columns.open;
    const toggle = (k, on) => EV.choose({ cols: (on ? [...keys, k] : keys.filter((c) => c !== k)).join("~") });
    EV.put(
      table.columns,
      EV.h("summary", { id: "columns" }, "Columns"),
      EV.h(
        "div",
        { class: "choices" },
        all.map((k, i) =>
          EV.h(
            "label",
            { class: "tick" },
            EV.h("input", {
              type: "checkbox",
              id: `column-${i}`,
              checked: keys.includes(k),
              onchange: (e) => toggle(k, e.target.checked),
            }),
            EV.heading(k),
          )
        ),
      ),
    );
    table.columns.open = open;
  }

  function exportsOf() {
    const name = EV.about.name,
      rows = async () => {
        if (EV.isPart()) {
          await EV.loadAll();
          EV.table.refresh();
        }
        return table.ordered;
      };
    const button = (id, label, run, title) =>
      EV.h("button", { type: "button", class: "small", id, onclick: run, title }, label);
    const chosen = pins.map((label) => EV.data.rows.get(label));
    EV.put(
      table.exports,
      button(
        "save-csv",
        "CSV",
        async () => EV.download(`${name}.csv`, EV.csv(keys, await rows()), "text/csv"),
        "The rows listed, with their intervals",
      ),
      button(
        "save-latex",
        "LaTeX",
        async () =>
          EV.download(
            `${name}.tex`,
            EV.latex(keys, (chosen.length ? chosen : await rows()).slice(0, 500)),
            "text/plain",
          ),
        chosen.length ? "The pinned rows, booktabs" : "The rows listed, booktabs, at most 500",
      ),
      button(
        "save-zip",
        "YAML (zip)",
        async () => EV.saveArchs(chosen.length ? chosen : (await rows()).slice(0, 100)),
        chosen.length ? "Architectures of the pinned rows" : "Architectures of the first 100 rows listed",
      ),
    );
  }

  function head() {
    EV.put(
      table.head,
      EV.h(
        "tr",
        {},
        EV.h("th", { scope: "col" }, EV.h("span", { class: "visually-hidden" }, "Pin")),
        keys.map((k) =>
          EV.h(
            "th",
            {
              scope: "col",
              "aria-sort": k === key ? (falling ? "descending" : "ascending") : null,
              class: k in EV.data.text ? null : "number",
            },
            EV.h(
              "button",
              {
                type: "button",
                id: `sort-${k}`,
                onclick: () => EV.choose({ sort: k === key && !falling ? `-${k}` : k, page: null }),
              },
              EV.heading(k),
              EV.h("span", { "aria-hidden": "true" }, k === key ? (falling ? " ↓" : " ↑") : ""),
            ),
          )
        ),
      ),
    );
  }

  function body() {
    EV.put(
      table.body,
      ...shown.map((row) => {
        const label = EV.data.text.label[row];
        return EV.h(
          "tr",
          { "data-row": row, class: EV.state.trial === label ? "chosen" : null },
          EV.h(
            "td",
            {},
            EV.h("input", {
              type: "checkbox",
              id: `pin-${row}`,
              checked: pins.includes(label),
              "aria-label": `Pin trial ${label}`,
              onchange: () => EV.togglePin(label),
            }),
          ),
          keys.map((k) => cell(k, row, label)),
        );
      }),
    );
    if (!shown.length) {
      table.body.append(
        EV.h(
          "tr",
          {},
          EV.h(
            "td",
            { colspan: keys.length + 1, class: "note" },
            EV.data.n ? "No trial passes the filter." : "No trial has ended yet.",
          ),
        ),
      );
    }
  }

  function cell(k, row, label) {
    if (k === "label") {
      return EV.h(
        "th",
        { scope: "row" },
        EV.h("button", {
          type: "button",
          class: "link",
          id: `trial-${row}`,
          onclick: () => EV.choose({ trial: label }),
        }, label),
      );
    }
    if (k === "status") {
      return EV.h("td", {}, EV.h("span", { class: `status ${EV.data.text.status[row]}` }, EV.data.text.status[row]));
    }
    if (k === "mixers") {
      return EV.h(
        "td",
        {},
        EV.h("span", {
          class: "swatch",
          style: { background: EV.mixerColour(EV.data.text.mixers[row]) },
          "aria-hidden": "true",
        }),
        EV.data.text.mixers[row],
      );
    }
    if (k.startsWith("printed ")) {
      return EV.h(
        "td",
        { class: `verdict ${(EV.data.text[k][row].split(" · ")[1] || "").split(" ")[0]}` },
        EV.data.text[k][row],
      );
    }
    if (k in EV.data.text) {
      return EV.h(
        "td",
        k === "changed"
          ? { class: "wrapped" }
          : k === "error" || k === "origin"
          ? { class: "long", title: EV.data.text[k][row] }
          : {},
        EV.data.text[k][row],
      );
    }
    const spread = EV.spread(k, row);
    return EV.h("td", { class: "number" }, EV.cell(k, row), spread ? EV.h("small", {}, spread) : null);
  }

  function pager() {
    const go = (to, label, words) =>
      EV.h("button", {
        type: "button",
        class: "small",
        id: `page-${label}`,
        disabled: to < 1 || to > pages || to === page,
        "aria-label": words,
        onclick: () => EV.choose({ page: String(to) }),
      }, label);
    EV.put(
      table.pager,
      ...(pages > 1
        ? [
          go(1, "«", "First page"),
          go(page - 1, "‹", "Page before"),
          EV.h("span", {}, `page ${page} of ${pages}`),
          go(page + 1, "›", "Next page"),
          go(pages, "»", "Last page"),
        ]
        : []),
    );
  }
};

EV.saveArchs = async (rows) => {
  const files = [];
  for (const row of rows) {
    const card = await EV.source.card(EV.state.study, row);
    const label = card.label.replace(/[^\w.-]+/g, "_");
    files.push([`${label}-${card.digest.replace(/[^\w.-]+/g, "_")}.yaml`, EV.yaml(card.arch)]);
  }
  EV.download(`${EV.about.name}-archs.zip`, EV.zip(files), "application/zip");
};
