// needs: core.js
/* The filter line: words to be found, `params_m<10`, `status:diverged`, `-word` for without. */

/** A predicate over rows. Throws an Error with a sentence where the line cannot be read. */
EV.parseFilter = (line) => {
  const tests = (line.match(/"[^"]*"|\S+/g) || []).map(test);
  return (row) => tests.every((t) => t(row));

  function test(token) {
    const bound = /^([\w@.-]+?)(<=|>=|<|>|=)(.+)$/.exec(token);
    if (bound) return compare(bound);
    const field = /^(-?)([a-z]\w*):(.+)$/.exec(token);
    if (field) return within(field);
    const without = token.startsWith("-") && token.length > 1;
    const word = (without ? token.slice(1) : token).replaceAll('"', "").toLowerCase();
    const named = ["mixers", "status", "dims", "depths", "changed", "blocks", "origin", "error", "label", "digest"];
    const columns = named.map((n) => EV.data.text[n] || []);
    const seen = new Map(),
      holds = (text) => { // most texts stand in many rows: each is searched once
        if (!seen.has(text)) seen.set(text, (text || "").toLowerCase().includes(word));
        return seen.get(text);
      };
    return (row) => columns.some((texts) => holds(texts[row])) !== without;
  }

  function compare([, name, sign, text]) {
    const values = EV.data.numbers.get(EV.resolveKey(name))?.values;
    if (!values) throw new Error(`no column is called ${name}; one of ${known()}`);
    const number = Number(text.replaceAll(",", ""));
    if (!Number.isFinite(number)) throw new Error(`${name}${sign} needs a number, got ${text}`);
    return {
      "<": (r) => values[r] < number,
      "<=": (r) => values[r] <= number,
      ">": (r) => values[r] > number,
      ">=": (r) => values[r] >= number,
      "=": (r) => values[r] === number,
    }[sign];
  }

  function within([, minus, name, text]) {
    const texts = EV.data.text[name];
    if (!texts) throw new Error(`no text column is called ${name}; one of ${Object.keys(EV.data.text).join(", ")}`);
    const word = text.replaceAll('"', "").toLowerCase();
    return (row) =>
      (name === "label" ? texts[row].toLowerCase() === word : texts[row].toLowerCase().includes(word)) !==
        Boolean(minus);
  }

  function known() {
    return [...new Set([...EV.data.numbers.keys()].map((k) => k.split("@")[0]))].slice(0, 12).join(", ");
  }
};

/** A column by its key, or by its name on the first target that has it. */
EV.resolveKey = (name) => {
  if (!name || EV.data.numbers.has(name)) return name;
  for (const target of EV.about.targets) if (EV.data.numbers.has(`${name}@${target}`)) return `${name}@${target}`;
  return null;
};

/** Whether a point lies within a polygon, both in the axes' own units. */
EV.inside = (x, y, polygon) => {
  let odd = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i], [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
};

/** Rows that a filter line lets through, in order. `problem` is a sentence or "". */
EV.filtered = (line) => {
  const key = `${EV.about.name} ${EV.data.lastId} ${EV.data.n} ${EV.printedFor} ${line}`;
  if (EV.lastFiltered?.key === key) return EV.lastFiltered;
  let keep = () => true, problem = "";
  try {
    keep = EV.parseFilter(line);
  } catch (e) {
    problem = e.message;
  }
  const rows = [];
  for (let row = 0; row < EV.data.n; row++) if (keep(row)) rows.push(row);
  return EV.lastFiltered = { key, rows, problem };
};

/** Rows that the filter and the lasso let through; the lasso narrows the table, never the chart. */
EV.visibleRows = () => {
  const found = EV.filtered(EV.state.filter || "");
  const polygon = EV.state.lasso ? EV.readLasso(EV.state.lasso) : null;
  const x = polygon && EV.data.numbers.get(EV.xKey())?.values, y = polygon && EV.data.numbers.get(EV.yKey())?.values;
  if (!x || !y) return found;
  return { ...found, rows: found.rows.filter((row) => EV.inside(x[row], y[row], polygon)) };
};

EV.readLasso = (text) =>
  text.split("_").map((pair) => pair.split("~").map(Number)).filter((p) => p.length === 2 && p.every(Number.isFinite));
EV.writeLasso = (points) => points.map((p) => p.map((v) => Number(v.toPrecision(5))).join("~")).join("_");
