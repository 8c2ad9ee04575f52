// Places the nodes of a graph without circles in layers from top to bottom: layers by longest path, lanes for edges that
// skip layers, order inside the layers by barycentres (K. Sugiyama, S. Tagawa, M. Toda, 1981).
"use strict";

// nodes: [{id, width, height}]; edges: [[from, to]]. Gives {places: id -> {x, y}, paths: [d], width, height}; x and y
// are those of the middle.
function layered(nodes, edges, { gapX = 22, gapY = 34, lane = 14 } = {}) {
  const before = new Map(nodes.map(each => [each.id, []]));
  for (const [from, to] of edges) before.get(to).push(from);
  const depths = new Map();
  const depth = (id, path) => {
    if (!depths.has(id)) depths.set(id, 1 + Math.max(-1, ...before.get(id).filter(each => !path.has(each)).map(each => depth(each, new Set(path).add(each)))));
    return depths.get(id);
  };
  nodes.forEach(each => depth(each.id, new Set([each.id])));
  // What nothing leads to stands right above what it is for, not all the way up.
  const after = new Map(nodes.map(each => [each.id, []]));
  for (const [from, to] of edges) after.get(from).push(to);
  for (const { id } of nodes) if (!before.get(id).length && after.get(id).length) depths.set(id, Math.max(0, Math.min(...after.get(id).map(each => depths.get(each))) - 1));
  const places = new Map(nodes.map(each => [each.id, { ...each, layer: depths.get(each.id), above: [], below: [] }]));
  const layers = Array.from({ length: 1 + Math.max(-1, ...depths.values()) }, () => []);
  for (const place of places.values()) layers[place.layer].push(place);
  const chains = edges.filter(([from, to]) => depths.get(from) < depths.get(to)).map(([from, to]) => {
    const chain = [places.get(from)];
    for (let layer = depths.get(from) + 1; layer < depths.get(to); layer++) {
      const between = { width: lane, height: 0, layer, above: [], below: [] };
      layers[layer].push(between);
      chain.push(between);
    }
    chain.push(places.get(to));
    for (let at = 1; at < chain.length; at++) { chain[at - 1].below.push(chain[at]); chain[at].above.push(chain[at - 1]); }
    return chain;
  });
  const pack = layer => { let x = 0; for (const each of layer) { each.x = x + each.width / 2; x += each.width + gapX; } };
  layers.forEach(pack);
  const mean = (around, otherwise) => around.length ? around.reduce((sum, each) => sum + each.x, 0) / around.length : otherwise;
  for (let round = 0; round < 10; round++) {
    const down = round % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      const wish = new Map(layer.map(each => [each, mean(down ? each.above : each.below, each.x)]));
      layer.sort((one, other) => wish.get(one) - wish.get(other));
      spread(layer, wish, gapX);
    }
  }
  const low = Math.min(...layers.flat().map(each => each.x - each.width / 2), Infinity);
  layers.flat().forEach(each => { each.x -= low; });
  let y = 0;
  for (const layer of layers) {
    const height = Math.max(...layer.map(each => each.height));
    layer.forEach(each => { each.y = y + height / 2; each.tall = height; });
    y += height + gapY;
  }
  const width = Math.max(...layers.flat().map(each => each.x + each.width / 2), 0);
  return { places, paths: chains.map(curve), width, height: Math.max(y - gapY, 0), layers: layers.map(layer => layer.filter(each => each.id).map(each => each.id)) };
}

// Puts a layer's nodes where they wish to be, as far as they leave each other room.
function spread(layer, wish, gap) {
  const forward = [], backward = [];
  layer.forEach((each, at) => { forward[at] = Math.max(wish.get(each), at ? forward[at - 1] + (layer[at - 1].width + each.width) / 2 + gap : -Infinity); });
  for (let at = layer.length - 1; at >= 0; at--) backward[at] = Math.min(wish.get(layer[at]), at < layer.length - 1 ? backward[at + 1] - (layer[at + 1].width + layer[at].width) / 2 - gap : Infinity);
  layer.forEach((each, at) => { each.x = (forward[at] + backward[at]) / 2; });
}

function curve(chain) {
  let [x, y] = [chain[0].x, chain[0].y + chain[0].height / 2];
  const path = [`M${x.toFixed(1)} ${y.toFixed(1)}`];
  for (const each of chain.slice(1)) {
    const end = each.id ? each.y - each.height / 2 : each.y - each.tall / 2;
    const middle = (y + end) / 2;
    path.push(`C${x.toFixed(1)} ${middle.toFixed(1)} ${each.x.toFixed(1)} ${middle.toFixed(1)} ${each.x.toFixed(1)} ${end.toFixed(1)}`);
    [x, y] = [each.x, end];
    if (!each.id) { y = each.y + each.tall / 2; path.push(`L${x.toFixed(1)} ${y.toFixed(1)}`); }
  }
  return path.join(" ");
}
