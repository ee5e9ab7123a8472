// needs: state.js
/* On paper: light, as wide as a sheet, charts drawn again at that width before the sheet is made. */

EV.setPrinting = (on) => {
  EV.printing = on;
  document.documentElement.toggleAttribute("data-printing", on);
  const open = EV.panels.get(EV.view);
  if (open) open.view.drawn = null; // the same data on another paper
  EV.refresh();
  for (const table of document.querySelectorAll("main table")) {
    table.style.zoom = "";
    const room = table.parentElement.clientWidth / table.scrollWidth;
    if (on && room < 1) table.style.zoom = String(room); // all columns on the sheet
  }
  for (const plot of document.querySelectorAll(".plot")) {
    if (plot._fullLayout) Plotly.relayout(plot, { autosize: true });
  }
};

addEventListener("beforeprint", () => EV.setPrinting(true));
addEventListener("afterprint", () => EV.setPrinting(false));
