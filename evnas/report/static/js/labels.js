// needs: core.js
/* Labels beside marks, placed so that none lies on another; one that finds no place is left to the pointer. */

EV.LABEL_PLACES = [
  ["top right", 1, -0.8],
  ["top left", -1, -0.8],
  ["bottom right", 1, 0.8],
  ["bottom left", -1, 0.8],
  ["top center", 0, -1],
  ["bottom center", 0, 1],
  ["middle right", 1, 0],
  ["middle left", -1, 0],
];

/** For marks {x, y, text} in pixels: [place, text] each, the text "" where there is no room.
    `others` are boxes to keep clear of, [left, top, right, bottom]. */
EV.placeLabels = (marks, box, { size = 11, away = 8, others = [] } = {}) => {
  const taken = [...others, ...marks.map(({ x, y }) => [x - 4, y - 4, x + 4, y + 4])];
  return marks.map(({ x, y, text }) => {
    const wide = size * 0.58 * text.length + 2, high = size + 2;
    for (const [place, sx, sy] of EV.LABEL_PLACES) {
      const left = sx === 0 ? x - wide / 2 : sx > 0 ? x + away - 2 : x - away + 2 - wide;
      const top = sy === 0 ? y - high / 2 : sy < 0 ? y - away - high * -sy : y + away - high * (1 - sy);
      const own = [left, top, left + wide, top + high];
      const out = left < 0 || left + wide > box.width || top < 0 || top + high > box.height;
      if (out || taken.some((t) => own[0] < t[2] && own[2] > t[0] && own[1] < t[3] && own[3] > t[1])) continue;
      taken.push(own);
      return [place, text];
    }
    return ["top center", ""];
  });
};
