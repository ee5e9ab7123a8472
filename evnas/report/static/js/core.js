// needs: nothing
/* Elements, text and small state. Data reaches the page as text nodes and attributes, never as HTML. */
globalThis.EV = {};

/** An element: attributes by name, `on…` as listeners, children as nodes or text. */
EV.h = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else if (name in { value: 1, checked: 1, disabled: 1, indeterminate: 1 }) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
};

/** Words about what stands around them. */
EV.note = (...children) => EV.h("p", { class: "note" }, ...children);

/** Put children into a node in place of what it holds; null and false are nothing. */
EV.put = (node, ...children) =>
  node.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));

/** A region of its own that scrolls, so that a wide table does not widen the page. */
EV.scrolled = (label, ...children) =>
  EV.h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, ...children);

/** A table in such a region. head: the `thead`, or texts of its columns. rows: the `tr` of its body. */
EV.listing = (label, caption, head, rows) => {
  const above = (text, i) => EV.h("th", { scope: "col", class: rows[0]?.children[i]?.className || null }, text);
  return EV.scrolled(
    label,
    EV.h(
      "table",
      {},
      EV.h("caption", {}, caption),
      Array.isArray(head) ? EV.h("thead", {}, EV.h("tr", {}, head.map(above))) : head,
      EV.h("tbody", {}, rows),
    ),
  );
};

/** An SVG element; children likewise. */
EV.svg = (tag, attributes = {}, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.flat(Infinity));
  return node;
};

EV.$ = (id) => document.getElementById(id);

/** Say something to a screen reader, without showing it. */
EV.announce = (text) => {
  EV.$("said").textContent = text;
};

/** At most one call a `wait()`, the last one always made. */
EV.throttled = (wait, call) => {
  let timer = null, again = false;
  const run = () => {
    timer = null;
    if (again) {
      again = false;
      fire();
    }
  };
  const fire = () => {
    timer = setTimeout(run, wait());
    call();
  };
  return () => {
    if (timer) again = true;
    else fire();
  };
};

/** The last call alone, `wait` after it was made. */
EV.debounced = (wait, call) => {
  let timer = null;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...args), wait);
  };
};

/** Download `content` as a file called `name`. */
EV.download = (name, content, type) => {
  const link = EV.h("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
