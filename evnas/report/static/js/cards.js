// needs: core.js
/* On a phone the rows of a table are cards: each cell says which column it is of. */

EV.PHONE = "(max-width: 560px)"; // as in style.css

/** Mark a table's cells with their headings. Drawn as a block, a table is none to a browser: roles keep it one. */
EV.asCards = (table) => {
  const head = table.tHead?.rows[table.tHead.rows.length - 1];
  if (!head || table.closest("[aria-label=Compare]")) return; // pinned trials are swiped, column by column
  const names = [...head.cells].map((cell) => cell.textContent.replace(/[↑↓]/g, "").trim());
  table.classList.add("cards");
  table.classList.toggle("sortable", Boolean(head.querySelector("button")));
  table.setAttribute("role", "table");
  for (const group of [table.tHead, ...table.tBodies]) group.setAttribute("role", "rowgroup");
  for (const row of table.rows) {
    row.setAttribute("role", "row");
    [...row.cells].forEach((cell, i) => {
      const heads = row === head;
      cell.setAttribute("role", heads ? "columnheader" : cell.tagName === "TH" ? "rowheader" : "cell");
      if (!heads && row.cells.length === names.length) cell.dataset.head = names[i];
    });
  }
};

EV.keepCards = () => {
  const phone = matchMedia(EV.PHONE);
  const all = () => {
    if (phone.matches) document.querySelectorAll("main table").forEach(EV.asCards);
  };
  new MutationObserver(all).observe(EV.$("main"), { childList: true, subtree: true });
  phone.addEventListener("change", all);
  all();
};

addEventListener("DOMContentLoaded", EV.keepCards);
