// needs: core.js
/* Tables as CSV and LaTeX, and files in a zip: made here, so the one-file report can do it too. */

EV.csv = (columns, rows) => {
  const quote = (text) => {
    const safe = /^[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text)) ? `'${text}` : text; // no formulas
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const raw = (key, row) => key in EV.data.text ? EV.data.text[key][row] : plain(EV.data.numbers.get(key)?.values[row]);
  const parts = columns.flatMap((key) =>
    EV.data.numbers.get(key)?.low ? [[key, "values"], [`${key}:low`, "low"], [`${key}:high`, "high"]] : [[key, null]]
  );
  const value = ([key, part], row) =>
    part === null ? raw(key, row) : plain(EV.data.numbers.get(key.replace(/:(low|high)$/, ""))[part][row]);
  const lines = [
    parts.map(([key]) => quote(key)).join(","),
    ...rows.map((row) => parts.map((p) => quote(String(value(p, row)))).join(",")),
  ];
  return lines.join("\r\n") + "\r\n";

  function plain(number) {
    return Number.isFinite(number) ? String(Number(number.toPrecision(9))) : "";
  }
};

EV.latex = (columns, rows) => {
  const marks = {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "·": "$\\cdot$",
    "±": "$\\pm$",
    "−": "$-$",
    "–": "--",
  };
  const escape = (text) => text.replace(/[\\~^·±–]/g, (c) => marks[c]).replace(/[&%$#_{}]/g, (c) => `\\${c}`);
  // what marks put in must not be escaped again: they are put in character by character
  const safe = (text) => Array.from(text, (c) => marks[c] || escape(c)).join("");
  const isText = (key) => key in EV.data.text;
  const head = columns.map((key) => safe(EV.heading(key))).join(" & ");
  const body = rows.map((row) => columns.map((key) => safe(EV.cellWithSpread(key, row))).join(" & ") + " \\\\");
  return [
    "\\begin{tabular}{" + columns.map((k) => isText(k) ? "l" : "r").join("") + "}",
    "\\toprule",
    `${head} \\\\`,
    "\\midrule",
    ...body,
    "\\bottomrule",
    "\\end{tabular}",
    "",
  ].join("\n");
};

EV.crc32 = (bytes) => {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
};

/** A zip of [name, text] pairs, stored uncompressed (PKWARE APPNOTE 6.3, UTF-8 names). */
EV.zip = (files) => {
  const encoder = new TextEncoder(), parts = [], central = [];
  let at = 0;
  for (const [name, text] of files) {
    const title = encoder.encode(name), body = encoder.encode(text);
    // version, flags (UTF-8), stored, time, date (1980-01-01), then checksum and lengths
    const shared = [
      [20, 2],
      [0x0800, 2],
      [0, 2],
      [0, 2],
      [0x21, 2],
      [EV.crc32(body), 4],
      [body.length, 4],
      [body.length, 4],
      [title.length, 2],
      [0, 2],
    ];
    const local = bytes([[0x04034b50, 4], ...shared]);
    central.push(bytes([[0x02014b50, 4], [20, 2], ...shared, [0, 2], [0, 2], [0, 2], [0, 4], [at, 4]]), title);
    parts.push(local, title, body);
    at += local.length + title.length + body.length;
  }
  const size = central.reduce((sum, part) => sum + part.length, 0);
  const end = bytes([[0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [size, 4], [at, 4], [
    0,
    2,
  ]]);
  return new Blob([...parts, ...central, end], { type: "application/zip" });

  function bytes(fields) {
    const view = new DataView(new ArrayBuffer(fields.reduce((sum, [, width]) => sum + width, 0)));
    let here = 0;
    for (const [value, width] of fields) {
      if (width === 2) view.setUint16(here, value, true);
      else view.setUint32(here, value, true);
      here += width;
    }
    return new Uint8Array(view.buffer);
  }
};
