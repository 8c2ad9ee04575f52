// Charts as SVG: lines and points over two axes, and bars. What they show is in a table beside them too.
"use strict";
const SHAPES = ["circle", "square", "triangle", "diamond"];
const tone = place => `series s${place % 6}`;

// Round steps that give some five ticks.
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 6 });
const tick = value => Math.abs(value) >= 1e5 ? compact.format(value) : number(Number(value.toPrecision(6)));
function ticks(low, high, most = 6) {
  const span = high - low || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(span / most));
  const step = [1, 2, 5, 10].map(each => each * power).find(each => span / each <= most);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(Math.abs(at) < step / 1e6 ? 0 : at);
  return found;
}

function mark(place, x, y, size) {
  const shape = SHAPES[place % SHAPES.length];
  if (shape === "circle") return s("circle", { cx: x, cy: y, r: size });
  const path = { square: `M${x - size} ${y - size}h${2 * size}v${2 * size}h${-2 * size}z`, triangle: `M${x} ${y - size * 1.2}L${x + size * 1.2} ${y + size}H${x - size * 1.2}z`, diamond: `M${x} ${y - size * 1.3}L${x + size * 1.3} ${y}L${x} ${y + size * 1.3}L${x - size * 1.3} ${y}z` };
  return s("path", { d: path[shape] });
}

// series: {name, points: [{x, y, title, href, big, label}], line, dots}; x and y: {name, low, high, time}; diagonal: what
// the line of equal values stands for.
function chart({ title, series, x = {}, y = {}, width = 640, height = 260, square = false, diagonal = "" }) {
  const all = series.flatMap(each => each.points);
  const legend = h("ul", { class: "keys" }, series.map((each, place) => h("li", { class: tone(place) }, s("svg", { viewBox: "0 0 22 10", width: 22, height: 10, "aria-hidden": "true" }, each.line ? s("path", { class: "line", d: "M0 5H22" }) : null, each.dots ? s("g", { class: "dot" }, mark(place, 11, 5, 4)) : null), " ", h("span", {}, each.name))));
  if (!all.length) return h("p", { class: "muted" }, "Nothing to draw.");
  const bounds = (axis, name) => {
    const values = all.map(point => point[name]);
    let [low, high] = [axis.low ?? values.reduce((a, b) => Math.min(a, b)), axis.high ?? values.reduce((a, b) => Math.max(a, b))];
    if (low === high) { const around = Math.abs(low) * 0.1 || 1; low -= around; high += around; }
    return [low, high];
  };
  const [left, right, top, bottom] = [58, 14, 12, 40];
  const [x0, x1] = bounds(x, "x"); let [y0, y1] = bounds(y, "y");
  if (y.low === undefined) { const air = (y1 - y0) * 0.06; y0 -= air; y1 += air; }
  const atX = value => left + (width - left - right) * (value - x0) / (x1 - x0);
  const atY = value => height - bottom - (height - top - bottom) * (value - y0) / (y1 - y0);
  const grid = [
    ticks(y0, y1).map(each => [s("line", { class: "grid", x1: left, x2: width - right, y1: atY(each), y2: atY(each) }), s("text", { x: left - 6, y: atY(each) + 4, "text-anchor": "end" }, tick(each))]),
    (x.time ? times(x0, x1) : ticks(x0, x1, width < 500 ? 4 : 6).map(each => [each, tick(each)])).map(([each, text]) => [s("line", { class: "grid", x1: atX(each), x2: atX(each), y1: top, y2: height - bottom }), s("text", { x: atX(each), y: height - bottom + 15, "text-anchor": "middle" }, text)]),
    s("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", class: "axis" }, x.name || ""),
    s("text", { x: 12, y: (top + height - bottom) / 2, "text-anchor": "middle", class: "axis", transform: `rotate(-90 12 ${(top + height - bottom) / 2})` }, y.name || ""),
  ];
  const [from, to] = [Math.max(x0, y0), Math.min(x1, y1)];
  const level = diagonal ? s("path", { class: "level", d: `M${atX(from)} ${atY(from)}L${atX(to)} ${atY(to)}` }, s("title", {}, diagonal)) : null;
  const drawn = series.map((each, place) => s("g", { class: tone(place) },
    each.line ? s("path", { class: "line", d: each.points.map((point, at) => `${at ? "L" : "M"}${atX(point.x).toFixed(1)} ${atY(point.y).toFixed(1)}`).join("") }) : null,
    each.dots ? each.points.map(point => {
      const dot = s("g", { class: point.big ? "dot big" : "dot" }, s("title", {}, point.title || ""), mark(place, atX(point.x), atY(point.y), point.big ? 6 : 3.5), point.label ? s("text", { x: atX(point.x), y: atY(point.y) - 10, "text-anchor": "middle" }, point.label) : null);
      return point.href ? s("a", { href: point.href, "aria-label": point.title }, dot) : dot;
    }) : null));
  const picture = s("svg", { class: square ? "chart square" : "chart", viewBox: `0 0 ${width} ${height}`, role: all.some(point => point.href) ? "group" : "img", "aria-label": title }, grid, level, drawn);
  return h("figure", {}, h("figcaption", {}, title), h("div", { class: "scroll" }, picture), series.length > 1 ? legend : null);
}

// Round moments, each written as finely as they lie apart.
const MINUTE = 6e4, DAY = 864e5;
const STEPS = [1e3, 5e3, 15e3, 30e3, MINUTE, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 60 * MINUTE, 180 * MINUTE, 360 * MINUTE, 720 * MINUTE, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 91 * DAY, 182 * DAY, 365 * DAY];
function times(low, high) {
  const step = STEPS.find(each => (high - low) / each <= 6) ?? Math.ceil((high - low) / 6 / STEPS.at(-1)) * STEPS.at(-1);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) found.push(at);
  return (found.length ? found : [(low + high) / 2]).map(at => {
    const text = new Date(at).toISOString();
    return [at, step >= DAY ? text.slice(0, 10) : step >= MINUTE ? text.slice(5, 16).replace("T", " ") : text.slice(11, 19)];
  });
}

// Shares of values side by side. names: of the bars; series: {name, values, null where unknown}.
function bars({ title, names, series }) {
  const row = 8 + 12 * series.length, left = 170, width = 460;
  const high = Math.max(...series.flatMap(each => each.values.map(value => value || 0)), 1e-9);
  const drawn = names.map((name, at) => [
    s("text", { x: left - 8, y: at * row + row / 2 + 3, "text-anchor": "end" }, name.length > 26 ? `${name.slice(0, 25)}…` : name, s("title", {}, name)),
    series.map((each, place) => each.values[at] === null ? null : s("rect", { class: `${tone(place)} bar`, x: left, y: at * row + 4 + place * 12, height: 10, width: Math.max(1, (width - left - 50) * each.values[at] / high) }, s("title", {}, `${each.name}: ${number(each.values[at])}`))),
  ]);
  return h("figure", {}, h("figcaption", {}, title), s("svg", { class: "chart", viewBox: `0 0 ${width} ${names.length * row + 4}`, role: "img", "aria-label": title }, drawn));
}
