// needs: core.js
/* The marks behind the front, painted on a canvas under the chart: thousands cost a few milliseconds,
   where one SVG element each costs a second. Also finds the mark that a pointer means. */

EV.MANY = 2500; // dominated trials painted one by one; more are counted into cells
EV.MARKED = 600; // other marks of a kind that are painted at most
EV.CELLS = { wide: 140, high: 90 };
EV.NEAR = 14; // pixels from a mark at which a pointer means it

/** From a value to 0…1 along an axis. */
EV.along = (low, high, log) => {
  const at = log ? Math.log10 : (v) => v, start = at(low), span = at(high) - start || 1;
  return (value) => (at(value) - start) / span;
};

/** Rows to pixels of the box, for each axis. */
EV.pixels = ([x, y], [x0, x1, y0, y1], box) => {
  const log = EV.isLog(), across = EV.along(x0, x1, log[0]), up = EV.along(y0, y1, log[1]);
  return {
    x: (v) => box.width * across(v),
    y: (v) => box.height * (1 - up(v)),
    ofRow: (r) => [box.width * across(x.values[r]), box.height * (1 - up(y.values[r]))],
  };
};

/** Not more than `most` rows, spread evenly. */
EV.thinned = (rows, most = EV.MARKED) => {
  const step = Math.ceil(rows.length / most);
  return step > 1 ? rows.filter((_, i) => i % step === 0) : rows;
};

/** How many rows fall into each cell of the view, line by line from the top. */
EV.countCells = (rows, pixels, box) => {
  const { wide, high } = EV.CELLS, counts = new Uint32Array(wide * high);
  for (const row of rows) {
    const [px, py] = pixels.ofRow(row);
    const i = Math.floor(wide * px / box.width), j = Math.floor(high * py / box.height);
    if (i >= 0 && i < wide && j >= 0 && j < high) counts[j * wide + i]++;
  }
  return counts;
};

/** Paint layers of marks; returns where each mark is, for the pointer. */
EV.paintCloud = (canvas, box, { layers, counts, ends }, pixels) => {
  const sharp = Math.min(2, devicePixelRatio || 1);
  Object.assign(canvas, { width: box.width * sharp, height: box.height * sharp });
  Object.assign(canvas.style, {
    left: `${box.left}px`,
    top: `${box.top}px`,
    width: `${box.width}px`,
    height: `${box.height}px`,
  });
  const pen = canvas.getContext("2d"), hits = [];
  pen.scale(sharp, sharp);
  if (counts) cells(counts);
  for (const layer of layers) marks(layer);
  if (ends) frame(ends);
  return hits;

  function frame([x0, x1, y0, y1]) {
    const { width, height } = box, words = { left: 4, right: width - 4 };
    pen.strokeStyle = EV.css("--line");
    pen.strokeRect(0, 0, width, height);
    pen.fillStyle = EV.css("--muted");
    pen.font = "12px system-ui, sans-serif";
    for (
      const [text, side, y] of [[x0, "left", height - 4], [x1, "right", height - 4], [y0, "left", height - 20], [
        y1,
        "left",
        14,
      ]]
    ) {
      pen.textAlign = side;
      pen.fillText(text, words[side], y);
    }
  }

  function cells(counts) {
    const { wide, high } = EV.CELLS, image = new ImageData(wide, high);
    const most = Math.log1p(counts.reduce((a, b) => Math.max(a, b), 1));
    const [from, to] = EV.theme() === "dark" ? [[42, 50, 60], [143, 163, 184]] : [[223, 229, 236], [111, 130, 152]];
    counts.forEach((n, i) => {
      if (n) {
        image.data.set([0, 1, 2].map((c) => from[c] + (to[c] - from[c]) * Math.log1p(n) / most).concat(255), 4 * i);
      }
    });
    const small = EV.h("canvas", { width: wide, height: high });
    small.getContext("2d").putImageData(image, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, 0, 0, box.width, box.height);
  }

  function marks(layer) {
    const { rows, symbol, colour, size, base } = layer, r = size / 2;
    if (layer.looks) {
      shapes(layer);
      return;
    }
    pen.beginPath();
    for (const row of rows) {
      let [px, py] = pixels.ofRow(row);
      if (base !== undefined) py = pixels.y(base);
      if (!(px >= -r && px <= box.width + r && py >= -r && py <= box.height + r)) continue;
      EV.OUTLINES[symbol](pen, px, py, r);
      hits.push([px, py, row]);
    }
    if (symbol === "dot") {
      pen.fillStyle = colour;
      pen.fill();
    } else {
      pen.strokeStyle = colour;
      pen.lineWidth = 1.5;
      pen.stroke();
    }
  }

  function shapes({ rows, looks, size, filled }) { // marks with a colour and a shape each
    rows.forEach((row, i) => {
      const [px, py] = pixels.ofRow(row), scale = size / 10; // as large as EV.SHAPES are drawn
      if (!(px >= -size && px <= box.width + size && py >= -size && py <= box.height + size)) return;
      pen.save();
      pen.translate(px, py);
      pen.scale(scale, scale);
      pen.lineWidth = 1.5 / scale;
      pen.fillStyle = pen.strokeStyle = looks[i].colour;
      pen[filled ? "fill" : "stroke"](new Path2D(EV.SHAPES[looks[i].shape]));
      pen.restore();
      hits.push([px, py, row]);
    });
  }
};

EV.OUTLINES = {
  dot: (pen, x, y, r) => {
    pen.moveTo(x + r, y);
    pen.arc(x, y, r, 0, 7);
  },
  ring: (pen, x, y, r) => {
    pen.moveTo(x + r, y);
    pen.arc(x, y, r, 0, 7);
  },
  x: (pen, x, y, r) => {
    pen.moveTo(x - r, y - r);
    pen.lineTo(x + r, y + r);
    pen.moveTo(x - r, y + r);
    pen.lineTo(x + r, y - r);
  },
  cross: (pen, x, y, r) => {
    pen.moveTo(x - r, y);
    pen.lineTo(x + r, y);
    pen.moveTo(x, y - r);
    pen.lineTo(x, y + r);
  },
  triangle: (pen, x, y, r) => {
    pen.moveTo(x - r, y - 2 * r);
    pen.lineTo(x + r, y - 2 * r);
    pen.lineTo(x, y);
    pen.closePath();
  },
};
EV.PLOTLY_SYMBOLS = {
  dot: "circle",
  ring: "circle-open",
  x: "x-thin",
  cross: "cross-thin",
  triangle: "triangle-down-open",
};

/** The row of the mark nearest to a place, or null when none is near. */
EV.nearest = (hits, x, y) => {
  let best = EV.NEAR ** 2, found = null;
  for (const [px, py, row] of hits) {
    const d = (px - x) ** 2 + (py - y) ** 2;
    if (d < best) {
      best = d;
      found = row;
    }
  }
  return found;
};
