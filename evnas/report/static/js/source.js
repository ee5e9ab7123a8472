// needs: core.js
/* Where the data comes from: the server beside the page, or the blocks inside the file. */

EV.liveSource = () => {
  const ask = async (path, how = {}) => {
    const answer = await fetch(path, { credentials: "same-origin", ...how });
    if (!answer.ok) {
      let said = `the server answered ${answer.status}`;
      try {
        said = (await answer.json()).error || said;
      } catch { /* not JSON: the status says it */ }
      throw new Error(said);
    }
    return answer;
  };
  const at = (study, rest = "") => `api/studies/${encodeURIComponent(study)}${rest}`;
  return {
    live: true,
    studies: async () => (await (await ask("api/studies")).json()).studies,
    about: async (study) => (await ask(at(study))).json(),
    /** With `small`, null of a study too large to be sent whole. */
    pack: async (study, after, { small = false } = {}) => {
      const answer = await ask(at(study, `/pack?after=${after}${small ? "&small=1" : ""}`));
      return answer.status === 204 ? null : answer.arrayBuffer();
    },
    view: async (study, query) => (await ask(at(study, `/view?${query}`))).arrayBuffer(),
    why: async (study, row, [x, y, z]) =>
      (await ask(at(study, `/why?${new URLSearchParams({ row, x, y, ...(z ? { z } : {}) })}`))).json(),
    card: async (study, row) => (await ask(at(study, `/card?row=${row}`))).json(),
    panel: async (study, name) => (await ask(at(study, `/panels/${encodeURIComponent(name)}`))).json(),
    /** Ask something of a study, where the server was started so that one may. */
    control: async (study, request) =>
      (await ask(at(study, "/control"), {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(request),
      })).json(),
    watch: (study, notify) => {
      const stream = new EventSource(at(study, "/events"));
      stream.onmessage = (event) => notify(JSON.parse(event.data));
      stream.onerror = () => notify({ away: true });
      return () => stream.close();
    },
  };
};

EV.fileSource = () => {
  const unpacked = async (name) => {
    const block = document.querySelector(`script[data-name="${name}"]`);
    if (!block) throw new Error(`this file holds no data called ${name}`);
    const bytes = Uint8Array.from(atob(block.textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  };
  const json = async (name) => JSON.parse(new TextDecoder().decode(await unpacked(name)));
  let cards = null;
  return {
    live: false,
    studies: async () => [],
    about: () => json("about"),
    pack: () => unpacked("pack"),
    card: async (_study, row) => {
      const card = (await (cards ||= json("cards")))[row];
      if (card) return card;
      throw new Error(
        "of a study this large the file holds the cards of its front and its newest trials; " +
          "evnas dashboard shows all of them, and evnas store export writes all records",
      );
    },
    panel: (_study, name) => json(`panel-${name}`),
    watch: () => () => {},
    plotly: async () => {
      const script = document.createElement("script"); // its hash stands in the page's policy
      script.textContent = new TextDecoder().decode(await unpacked("plotly"));
      document.head.append(script);
    },
  };
};
