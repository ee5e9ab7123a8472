// needs: core.js
/* Dominance between rows on any axes, with the intervals they were measured with. */

/** Axes as {values, sign, deviation}: less is better after the sign. */
EV.axes = (keys, better = {}) =>
  keys.map((key) => {
    const column = EV.data.numbers.get(key);
    const way = better[key] || EV.better(key);
    return { key, column, values: column.values, sign: way === "more" ? -1 : 1 };
  });

/** Which way of a column is better: as the study's objectives say, else by what it is. */
EV.better = (key) => {
  const aim = EV.about.objectives.find((o) => o.key === key);
  return aim ? aim.better : (EV.data.numbers.get(key) || {}).better || "less";
};

/** Rows of `candidates` that no other dominates; rows with equal values all count. */
EV.frontOf = (candidates, axes) => {
  const value = (row, axis) => axis.sign * axis.values[row];
  const order = Array.from(candidates).sort((a, b) => {
    for (const axis of axes) {
      const d = value(a, axis) - value(b, axis);
      if (d) return d;
    }
    return a - b;
  });
  const front = [];
  for (const row of order) {
    // sorted by the first axis, so only what is on the front already can dominate
    if (!front.some((f) => dominates(f, row))) front.push(row);
  }
  return front;

  function dominates(a, b) {
    let better = false;
    for (const axis of axes) {
      const x = value(a, axis), y = value(b, axis);
      if (x > y) return false;
      if (x < y) better = true;
    }
    return better;
  }
};

/** Standard deviation of a row's estimate, from its 95 % interval; 0 where there is none. */
EV.deviation = (column, row) =>
  column.low && Number.isFinite(column.low[row])
    ? Math.max(0, (column.high[row] - column.low[row]) / 3.919927969080108)
    : 0;

/** Probability that row a is at least as good as b on every axis, errors normal and independent. */
EV.dominanceProbability = (a, b, axes) => {
  let probability = 1;
  for (const { column, values, sign } of axes) {
    const lead = sign * (values[b] - values[a]);
    const noise = Math.hypot(EV.deviation(column, a), EV.deviation(column, b));
    probability *= noise > 0 ? EV.normal(lead / noise) : lead >= 0 ? 1 : 0;
  }
  return probability;
};

/** The standard normal distribution function (Abramowitz and Stegun 7.1.26, error below 1.5e-7). */
EV.normal = (z) => {
  const t = 1 / (1 + 0.3275911 * Math.abs(z) / Math.SQRT2);
  const tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) *
    Math.exp(-z * z / 2);
  return z >= 0 ? 1 - tail / 2 : tail / 2;
};

/** Rows that the front dominates by less than their errors: no member does with 95 %. */
EV.tiedWith = (front, candidates, axes) => {
  if (axes.every(({ column }) => !column.low)) return [];
  const members = new Set(front);
  let last = front[0]; // what surely dominates one often does so to the next: asked first
  const beaten = (row) => {
    if (last !== undefined && EV.dominanceProbability(last, row, axes) >= 0.95) return true;
    const by = front.find((f) => EV.dominanceProbability(f, row, axes) >= 0.95);
    if (by === undefined) return false;
    last = by;
    return true;
  };
  return candidates.filter((row) => !members.has(row) && !beaten(row));
};

/** Rows by how they take part on these axes. */
EV.partition = (rows, axes) => {
  const parts = { complete: [], peers: [], infeasible: [], ended: [], unplaced: [] };
  const { status, mixers } = EV.data.text;
  for (const row of rows) {
    if (!axes.every(({ values }) => Number.isFinite(values[row]))) parts.unplaced.push(row);
    else if (status[row] === "complete") parts[mixers[row] === "timm" ? "peers" : "complete"].push(row);
    else if (status[row] === "infeasible") parts.infeasible.push(row);
    else parts.ended.push(row);
  }
  return parts;
};
