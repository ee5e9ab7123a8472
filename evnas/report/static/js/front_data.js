// needs: core.js
/* Who stands where on the axes chosen: the front, what ties with it, the cloud, what ended early. */

EV.axisKeys = () => [EV.xKey(), EV.yKey(), ...(EV.zKey() ? [EV.zKey()] : [])];
EV.isLog = () => [EV.state.lx === "1", EV.state.ly === "1"];

/** Kept until the data, the axes or the filter change: a zoom or a choice asks for it again. */
EV.frontData = () => {
  if (EV.isPart()) return EV.frontDataFromServer();
  const axes = EV.axes(EV.axisKeys()), filter = EV.state.filter || "";
  const key = JSON.stringify([EV.about.name, EV.data.lastId, EV.data.n, axes.map((a) => [a.key, a.sign]), filter]);
  if (EV.lastFrontData?.key !== key) EV.lastFrontData = { key, ...EV.computeFrontData(axes, EV.filtered(filter).rows) };
  return EV.lastFrontData;
};

EV.computeFrontData = (axes, rows) => {
  const parts = EV.partition(rows, axes);
  const front = EV.frontOf(parts.complete, axes), tied = EV.tiedWith(front, parts.complete, axes);
  const members = new Set([...front, ...tied]);
  return {
    axes,
    ...parts,
    front,
    tied,
    cloud: parts.complete.filter((row) => !members.has(row)),
    floor: EV.onFloor(parts.unplaced, parts.complete, axes),
  };
};

/** A trial that diverged has a speed and no accuracy: it stands on the floor of those that ended. */
EV.onFloor = (unplaced, complete, [x, y]) => {
  const rows = complete.length
    ? unplaced.filter((r) => Number.isFinite(x.values[r]) && EV.data.text.status[r] !== "complete")
    : [];
  return { rows, base: complete.reduce((low, r) => Math.min(low, y.values[r]), Infinity) };
};

/** The window that was zoomed into, [x0, x1, y0, y1], or null. */
EV.zoomed = () => {
  const found = (EV.state.zoom || "").split("~").map(Number);
  return found.length === 4 && found.every(Number.isFinite) ? found : null;
};

/** What the chart shows, [x0, x1, y0, y1]: the zoom, or all that is drawn with some room around it. */
EV.viewOf = (frontData, marks) => {
  const log = EV.isLog(), chosen = EV.zoomed();
  if (chosen) return [...EV.ends(chosen.slice(0, 2), log[0], 0), ...EV.ends(chosen.slice(2), log[1], 0)];
  if (frontData.range) return frontData.range;
  const [x, y] = frontData.axes;
  const rows = [
    frontData.cloud,
    frontData.tied,
    frontData.infeasible,
    frontData.ended,
    frontData.peers,
    frontData.front,
  ];
  const extent = (axis, extra) => {
    const found = [...extra];
    for (const list of rows) found.push(...EV.extent(axis.values, list));
    const barred = EV.data.n <= EV.FEW ? rows.flat() : frontData.front;
    for (const r of barred) if (axis.column.low) found.push(axis.column.low[r], axis.column.high[r]);
    return found.filter(Number.isFinite);
  };
  const across = [...extent(x, marks.map((m) => m.x)), ...EV.extent(x.values, frontData.floor.rows)];
  return [...EV.ends(across, log[0], 0.04), ...EV.ends(extent(y, marks.map((m) => m.y)), log[1], 0.06)];
};

/** Smallest and largest of some rows' values; nothing of no rows. */
EV.extent = (values, rows) => {
  let low = Infinity, high = -Infinity;
  for (const row of rows) {
    const v = values[row];
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return low <= high ? [low, high] : [];
};

/** Both ends of values with room around them, in the axis's own scale. */
EV.ends = (values, log, room) => {
  const usable = log ? values.filter((v) => v > 0).map(Math.log10) : values;
  if (!usable.length) return log ? [1, 10] : [0, 1];
  const low = Math.min(...usable), high = Math.max(...usable), span = high - low || Math.abs(high) * 0.1 || 1;
  const ends = [low - room * span, low === high ? low + span : high + room * span];
  return log ? ends.map((v) => 10 ** v) : ends;
};
