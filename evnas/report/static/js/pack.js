// needs: core.js
/* Reads the packed columns that evnas/report/page/pack.py writes, and merges what changed since. */

EV.emptyData = () => ({ n: 0, lastId: 0, text: {}, numbers: new Map(), rows: new Map() });

/** Merge a pack into `data`; returns the rows that changed. */
EV.merge = (data, buffer) => {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const base = 4 + length, count = header.count;
  const index = new Uint32Array(buffer, base + header.index, count);
  for (const [name, coded] of Object.entries(header.text)) {
    const codes = new Uint32Array(buffer, base + coded.at, count);
    const texts = data.text[name] || (data.text[name] = []);
    for (let i = 0; i < count; i++) texts[index[i]] = coded.values[codes[i]];
  }
  for (const number of header.numbers) mergeNumber(data, number, { buffer, base, index, rows: header.rows });
  for (const column of data.numbers.values()) grow(column, header.rows);
  for (let i = 0; i < count; i++) data.rows.set(data.text.label[index[i]], index[i]);
  for (const number of header.numbers) if (number.noise) pooled(data, data.numbers.get(number.key), number.noise);
  if (header.view) data.view = header.view;
  data.n = header.rows;
  data.lastId = header.last_id;
  return index;

  function mergeNumber(data, number, { buffer, base, index, rows }) {
    if (!data.numbers.has(number.key)) data.numbers.set(number.key, { ...number, values: new Float64Array(0) });
    const column = data.numbers.get(number.key);
    for (const [at, part] of [["at", "values"], ["at:low", "low"], ["at:high", "high"]]) {
      if (!(at in number)) continue;
      if (!column[part]) column[part] = new Float64Array(0);
      column[part] = grown(column[part], rows);
      const Kind = number.exact ? Float64Array : Float32Array;
      const found = new Kind(buffer, base + number[at], index.length);
      for (let i = 0; i < index.length; i++) column[part][index[i]] = found[i];
    }
  }

  function pooled(data, column, [below, above]) { // intervals of a spread that all trials share
    const seeds = data.numbers.get("seeds").values;
    column.low = column.values.map((v, i) => v + below / Math.sqrt(Math.max(1, seeds[i])));
    column.high = column.values.map((v, i) => v + above / Math.sqrt(Math.max(1, seeds[i])));
  }

  function grow(column, rows) {
    for (const part of ["values", "low", "high"]) if (column[part]) column[part] = grown(column[part], rows);
  }

  function grown(values, rows) {
    if (values.length >= rows) return values;
    const wider = new Float64Array(Math.max(rows, Math.ceil(values.length * 1.5))).fill(NaN);
    wider.set(values);
    return wider;
  }
};
