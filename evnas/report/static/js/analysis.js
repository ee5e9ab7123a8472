// needs: core.js
/* The printed figures that are shown in the table. */

/** What was printed, with its verdict, as columns of the main table: found by row label. */
EV.readPrinted = async () => {
  if (!EV.about.reproduces || EV.printedFor === EV.data.lastId) return;
  EV.printedFor = EV.data.lastId;
  const found = await EV.panelData("reproduction");
  if (!found) return;
  const heads = found.table.columns.slice(1);
  heads.forEach((head, i) => {
    if (!found.table.rows.some((row) => row[i + 1].published)) return;
    const texts = EV.data.text[`printed ${head}`] = new Array(EV.data.n).fill("");
    for (const row of found.table.rows) {
      const at = EV.data.rows.get(row[0].text), cell = row[i + 1];
      if (at !== undefined && cell.published) texts[at] = cell.published + (cell.kind ? ` · ${cell.kind}` : "");
    }
  });
  EV.refresh();
};
