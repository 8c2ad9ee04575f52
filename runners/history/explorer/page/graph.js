// A graph of artifacts and executions, as SVG whose nodes are chosen by a click, by Enter, and gone along by arrows.
"use strict";

// nodes: [{id, title, note, kind, state, label}]; edges: [[from, to]]; chosen: an id; choose(id).
function graph({ nodes, edges, chosen, choose, label }) {
  const sized = nodes.map(each => ({ ...each, width: Math.max(96, 7.5 * Math.max(each.title.length, (each.note || "").length * 0.88) + 24), height: each.note ? 42 : 28 }));
  const { places, paths, width, height, layers } = layered(sized, edges);
  const lines = paths.map(path => s("path", { class: "edge", d: path, "marker-end": "url(#arrow)" }));
  const drawn = new Map();
  for (const each of places.values()) {
    drawn.set(each.id, s("g", { class: `node ${each.kind} ${each.state || ""}`, role: "button", tabindex: each.id === chosen ? "0" : "-1", "aria-label": each.label, "aria-pressed": String(each.id === chosen), "data-node": each.id, transform: `translate(${(each.x - each.width / 2).toFixed(1)} ${(each.y - each.height / 2).toFixed(1)})`, onclick: () => choose(each.id) },
      s("title", {}, each.label),
      s("rect", { width: each.width, height: each.height, rx: each.kind === "execution" ? each.height / 2 : 6 }),
      s("text", { x: each.width / 2, y: each.note ? 18 : 18.5, "text-anchor": "middle", class: "name" }, each.title),
      each.note ? s("text", { x: each.width / 2, y: 33, "text-anchor": "middle", class: "note" }, each.note) : null));
  }
  if (!drawn.has(chosen) && drawn.size) drawn.values().next().value.setAttribute("tabindex", "0");
  const beside = id => { const layer = layers.find(each => each.includes(id)); return [layer, layer.indexOf(id)]; };
  const nearest = (id, way) => { const { x } = places.get(id); return [...(layers[layers.findIndex(each => each.includes(id)) + way] || [])].sort((one, other) => Math.abs(places.get(one).x - x) - Math.abs(places.get(other).x - x))[0]; };
  const next = {
    ArrowUp: id => edges.find(([, to]) => to === id)?.[0],
    ArrowDown: id => edges.find(([from]) => from === id)?.[1],
    ArrowLeft: id => { const [layer, at] = beside(id); return layer[at - 1]; },
    ArrowRight: id => { const [layer, at] = beside(id); return layer[at + 1]; },
    // Each layer can be got at, whichever its edges skip: the nearest of the one above or below.
    PageUp: id => nearest(id, -1),
    PageDown: id => nearest(id, 1),
    Home: () => layers[0][0],
    End: () => layers.at(-1)[0],
  };
  const picture = s("svg", { class: "graph", viewBox: `-4 -4 ${width + 8} ${height + 8}`, width: width + 8, height: height + 8, role: "group", "aria-label": `${label}. Arrows go along the edges, Page Up and Page Down from layer to layer, Enter chooses.`, onkeydown: event => {
    const node = event.target.closest("[data-node]");
    if (!node) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(node.dataset.node); return; }
    const to = next[event.key]?.(node.dataset.node);
    if (next[event.key]) event.preventDefault();
    if (to) {
      for (const each of drawn.values()) each.setAttribute("tabindex", "-1");
      drawn.get(to).setAttribute("tabindex", "0");
      drawn.get(to).focus();
    }
  } }, s("defs", {}, s("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, s("path", { d: "M0 1 L7 4 L0 7 z" }))), lines, [...drawn.values()]);
  const holder = h("div", { class: "scroll canvas" }, picture);
  // Only the graph is moved, not the window.
  const reveal = id => { const place = places.get(id); if (place) holder.scrollTo(place.x - holder.clientWidth / 2 + 12, place.y - holder.clientHeight / 2 + 12); };
  return { element: holder, reveal, focus: id => drawn.get(id)?.focus({ preventScroll: true }) };
}

// The same graph for those who do not see it: what each node was made of, level by level.
function nested(root, nodes, edges, choose) {
  const byId = new Map(nodes.map(each => [each.id, each]));
  const seen = new Set();
  const entry = (id, next) => {
    const node = byId.get(id), again = seen.has(id);
    seen.add(id);
    const inner = again ? [] : next(id);
    return h("li", {}, h("button", { type: "button", class: "plain", onclick: () => choose(id) }, node.label), again ? " (see above)" : "", inner.length ? h("ul", {}, inner.map(each => entry(each, next))) : null);
  };
  const up = entry(root, id => edges.filter(([, to]) => to === id).map(([from]) => from));
  seen.clear();
  const down = entry(root, id => edges.filter(([from]) => from === id).map(([, to]) => to));
  return h("details", { class: "plain" }, h("summary", {}, "The same as a list"), h("h3", {}, "Made of"), h("ul", {}, up), h("h3", {}, "What came of it"), h("ul", {}, down));
}
