// needs: core.js
/* Architectures as plain data: their differences in the path language, as YAML, as a picture. */

EV.leaves = (data, place = []) => {
  if (Array.isArray(data)) return data.flatMap((value, i) => EV.leaves(value, [...place, i]));
  if (data !== null && typeof data === "object") {
    return Object.entries(data).flatMap(([key, value]) => EV.leaves(value, [...place, key]));
  }
  return [[place, data]];
};

EV.spell = (place) =>
  place.reduce((text, step) => typeof step === "number" ? `${text}[${step}]` : text ? `${text}.${step}` : step, "");

/** [path, value in a, value in b] wherever they differ; what holds for every stage is one line. */
EV.diff = (a, b) => {
  const left = new Map(EV.leaves(a).map(([p, v]) => [EV.spell(p), [p, v]]));
  const right = new Map(EV.leaves(b).map(([p, v]) => [EV.spell(p), [p, v]]));
  const paths = [...left.keys(), ...[...right.keys()].filter((p) => !left.has(p))];
  const changed = paths.map((p) => {
    const [place] = left.get(p) || right.get(p);
    return { place, old: left.has(p) ? left.get(p)[1] : null, now: right.has(p) ? right.get(p)[1] : null };
  }).filter(({ old, now }) => old !== now);
  const stages = Math.max((a.stages || []).length, (b.stages || []).length);
  const tails = new Map();
  for (const c of changed) {
    if (c.place[0] !== "stages") continue;
    const tail = EV.spell(c.place.slice(2));
    tails.set(tail, [...(tails.get(tail) || []), JSON.stringify([c.old, c.now])]);
  }
  const lines = [], listed = new Set();
  for (const { place, old, now } of changed) {
    const tail = EV.spell(place.slice(2)), same = tails.get(tail) || [];
    if (place[0] === "stages" && stages > 1 && same.length === stages && new Set(same).size === 1) {
      if (!listed.has(tail)) lines.push([`stages[*].${tail}`, old, now]);
      listed.add(tail);
    } else lines.push([EV.spell(place), old, now]);
  }
  return lines;
};

/** Plain data as YAML. */
EV.yaml = (data, indent = "") => {
  const scalar = (v) =>
    typeof v === "string" && !(/^[A-Za-z_][\w./-]*$/.test(v) && !/^(y|n|yes|no|on|off|true|false|null)$/i.test(v))
      ? JSON.stringify(v)
      : String(v);
  const isNest = (v) => v !== null && typeof v === "object" && Object.keys(v).length > 0;
  const empty = (v) => Array.isArray(v) ? "[]" : "{}";
  const flat = (v) => isNest(v) ? null : v !== null && typeof v === "object" ? empty(v) : scalar(v);
  if (Array.isArray(data)) {
    return data.map((v) =>
      flat(v) !== null ? `${indent}- ${flat(v)}\n` : `${indent}- ${EV.yaml(v, `${indent}  `).slice(indent.length + 2)}`
    ).join("");
  }
  return Object.entries(data).map(([k, v]) =>
    flat(v) !== null ? `${indent}${k}: ${flat(v)}\n` : `${indent}${k}:\n${EV.yaml(v, `${indent}  `)}`
  ).join("");
};

/** The stages as boxes: height by dim, width by depth, colour by mixer, words inside and for a reader. */
EV.picture = (card) => {
  if (!card.stages.length) {
    return EV.note(card.arch.timm ? `timm: ${card.arch.timm}` : "no stages");
  }
  const widest = Math.max(...card.stages.map((s) => s.dim));
  return EV.h(
    "ol",
    { class: "stages", "aria-label": "Stages" },
    card.stages.map((s) =>
      EV.h(
        "li",
        { style: { flexGrow: String(s.depth + 1), borderTopColor: EV.mixerColour(s.mixer) } },
        EV.h("span", {
          class: "bar",
          style: { height: `${6 + 22 * s.dim / widest}px`, background: EV.mixerColour(s.mixer) },
        }),
        EV.h("b", {}, `${s.depth} × ${s.dim}`),
        EV.h("span", {}, s.mixer === "none" ? s.block : s.mixer),
        EV.h("small", {}, s.knobs),
      )
    ),
  );
};
