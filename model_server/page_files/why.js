// Why the row was answered so, the nearest known row with another answer, and what if one feature had other values. All of
// it by requests that every client can send, to …:explain.
"use strict";
const MOST_PARTS = 20, CURVE_POINTS = 25, MOST_TEXTS = 12, LONGEST_TEXT = 80, WAIT_MS = 250;
let asked = null;

// What the page keeps of an answer: the row, where it was asked, and which output is explained.
function answeredRow(row, path, prediction) {
  asked = { row, path, output: explained(prediction) };
  at("why-parts").replaceChildren();
  at("why-fault").hidden = true;
  at("why").hidden = false;
  const varied = about.inputs.filter(spec => grid(spec).length > 1);
  const chosen = at("vary").value;
  at("vary").replaceChildren(h("option", { value: "" }, "no feature"), ...varied.map(spec => h("option", {}, spec.name)));
  if (varied.some(spec => spec.name === chosen)) at("vary").value = chosen;
  at("what-if").hidden = !varied.length;
  curve();
}

const plainNumber = value => value instanceof Exact ? Number(value.text) : value;
const size = value => value < 1e-6 ? "<0.000001" : String(Number(value.toPrecision(4)));
const signed = value => `${value < 0 ? "−" : "+"}${size(Math.abs(value))}`;

async function why() {
  if (at("explain").getAttribute("aria-disabled") === "true") return;
  at("explain").setAttribute("aria-disabled", "true");
  at("why-fault").hidden = true;
  const { row, path, output } = asked;
  try {
    const body = written({ instances: [row], ...(output ? { output } : {}) });
    const [found] = await answerOf(path.replace(/:predict$/, ":explain"), { method: "POST", body });
    if (asked.row === row) at("why-parts").replaceChildren(...parts(found, row));
  } catch (error) {
    at("why-fault").textContent = error.message;
    at("why-fault").hidden = false;
  } finally { at("explain").removeAttribute("aria-disabled"); }
}

function parts(found, row) {
  const [one] = found.explanations;
  const of = one.name === undefined ? found.output : `${found.output}, class ${one.name}`;
  const sorted = Object.entries(one.attributions).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
  const largest = Math.max(...sorted.map(([, value]) => Math.abs(value))) || 1;
  const bars = sorted.slice(0, MOST_PARTS).map(([name, value]) => {
    const bar = h("i", { class: value < 0 ? "down" : "up" });
    bar.style.width = `${Math.abs(value) / largest * 50}%`;
    bar.style[value < 0 ? "right" : "left"] = "50%";
    return h("li", {}, h("span", { class: "of" }, name), h("span", { class: "track both", "aria-hidden": "true" }, bar), h("b", {}, signed(value)));
  });
  return [
    h("p", {}, `${of}: ${short(one.answer)}. The known rows are answered ${short(one.baseline)} on average; these parts lead from there to this row:`),
    h("ol", { class: "bars" }, bars),
    sorted.length > MOST_PARTS ? h("p", { class: "muted" }, `and ${sorted.length - MOST_PARTS} smaller ones`) : null,
    h("p", { class: "muted" }, `Shapley values against ${found.known_rows} known rows, from ${found.orders} orders: what the model goes by, and not what causes what.`),
    ...nearest(one, row),
  ].filter(Boolean);
}

function nearest(one, row) {
  if (!("nearest_other" in one)) return [];
  const title = h("h3", {}, "The nearest known row with another answer");
  const other = one.nearest_other;
  if (!other) return [title, h("p", { class: "muted" }, "None: all known rows are answered alike, or nothing of them can be compared.")];
  const spec = name => about.inputs.find(each => each.name === name);
  const cell = (name, value) => h("td", {}, value && value.b64 ? "(bytes)" : shown(spec(name), value) || "no value");
  const rows = other.differs.map(name => h("tr", {}, h("th", { scope: "row" }, name), cell(name, row[name]), cell(name, other.row[name])));
  const told = each => each.name === undefined ? short(each.answer) : `${each.name} (${short(each.answer)})`;
  rows.push(h("tr", {}, h("th", { scope: "row" }, "answer"), h("td", {}, told(one)), h("td", {}, told(other))));
  const head = h("tr", {}, h("th", { scope: "col" }, "differs in"), h("th", { scope: "col" }, "this row"), h("th", { scope: "col" }, "the other"));
  const take = () => { about.inputs.forEach((each, index) => fields[index].put(other.row[each.name])); at("form").requestSubmit(); };
  return [title, h("div", { class: "scroll" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows))),
    h("p", {}, h("button", { type: "button", id: "take", onclick: take }, "Ask the other row"))];
}

// Values to try of a feature: between the least and the largest known number, or the texts that are known.
function grid(spec) {
  const [, ...sizes] = spec.shape || [null, 1];
  if (sizes.length || spec.dtype === "bool") return spec.dtype === "bool" && !sizes.length ? [false, true] : [];
  const known = [...about.examples.map(each => each[spec.name]), ...(asked ? [asked.row[spec.name]] : [])]
    .filter(value => value !== undefined && !isMissing(spec, value));
  // Bytes, and what people write, are no values that rows share.
  const isValue = value => typeof value === "string" && value.length <= LONGEST_TEXT && !/[\x00-\x08\x0e-\x1f]/.test(value);
  if (isText(spec)) return !known.every(isValue) ? [] : [...new Set(known)].slice(0, MOST_TEXTS);
  const numbers = known.map(plainNumber).filter(Number.isFinite);
  if (!numbers.length) return [];
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
  const room = most - least || Math.abs(least) || 1;
  const steps = Array.from({ length: CURVE_POINTS }, (_, step) => least - room * 0.1 + room * 1.2 * step / (CURVE_POINTS - 1));
  return isWhole(spec) ? [...new Set(steps.map(Math.round))] : steps;
}

// The output that is explained and drawn: of several numbers those that are shares of one; "" where there is no number.
function explained(prediction) {
  const byName = about.outputs.length > 1 ? prediction : { [about.outputs[0].name]: prediction };
  const numbers = about.outputs.filter(each => /float/.test(each.dtype) && depth(byName[each.name]) <= 1);
  const shares = numbers.find(each => [byName[each.name]].flat().every(isShare));
  return (numbers.find(each => each.name === "outputs") || shares || numbers[0] || { name: "" }).name;
}
const numbersOf = (prediction, name) => [about.outputs.length > 1 ? prediction[name] : prediction].flat().map(plainNumber);

async function curve() {
  const name = at("vary").value, spec = about.inputs.find(each => each.name === name);
  at("curve").replaceChildren();
  if (!spec) return;
  const { row, path, output } = asked, values = grid(spec);
  const whole = value => isText(spec) || spec.dtype === "bool" ? value : new Exact(isWhole(spec) ? BigInt(value).toString() : written(value));
  const body = written({ instances: [row], what_if: { feature: name, values: values.map(whole) } });
  try {
    const [found] = await answerOf(path.replace(/:predict$/, ":explain"), { method: "POST", body });
    if (asked.row !== row || at("vary").value !== name) return;
    if (!output) { at("curve").append(h("p", { class: "muted" }, "The answer has no number to draw.")); return; }
    const [own, ...others] = [found.answer, ...found.predictions].map(each => numbersOf(each, output));
    // Of several numbers that of this row's class.
    const place = own.indexOf(Math.max(...own));
    const of = own.length > 1 ? `${output} ${place}` : output;
    const points = values.map((value, index) => [value, others[index][place]]);
    at("curve").append(isText(spec) || spec.dtype === "bool" ? listed(points, row[name], of) : line(points, plainNumber(row[name]), own[place], name, of));
  } catch (error) { at("curve").append(h("p", { class: "fault" }, error.message)); }
}

function listed(points, own, of) {
  const most = Math.max(...points.map(([, value]) => Math.abs(value))) || 1;
  return h("div", {}, h("h3", {}, of), h("ol", { class: "bars" }, points.map(([value, answer]) => {
    const bar = h("i");
    bar.style.width = `${Math.abs(answer) / most * 100}%`;
    return h("li", {}, h("span", { class: "of" }, value === own ? `${value} (this row)` : String(value)), h("span", { class: "track", "aria-hidden": "true" }, bar), h("b", {}, short(answer)));
  })));
}

const SVG = "http://www.w3.org/2000/svg";
function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function line(points, ownValue, ownAnswer, name, of) {
  const [width, height, left, bottom] = [640, 220, 64, 34];
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y).filter(Number.isFinite);
  if (!ys.length) return h("p", { class: "muted" }, "The answers are no numbers.");
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys, ownAnswer), Math.max(...ys, ownAnswer)];
  const x = value => left + (value - x0) / (x1 - x0 || 1) * (width - left - 12);
  const y = value => height - bottom - (value - y0) / (y1 - y0 || 1) * (height - bottom - 16);
  const text = (words, at, anchor) => svg("text", { x: at[0], y: at[1], "text-anchor": anchor }, words);
  const path = points.filter(([, value]) => Number.isFinite(value)).map(([a, b]) => `${x(a)},${y(b)}`).join(" ");
  const made = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "curve",
    "aria-label": `${of} by ${name}: from ${short(points[0][1])} at ${short(xs[0])} to ${short(points.at(-1)[1])} at ${short(xs.at(-1))}` },
  svg("polyline", { points: path }),
  text(short(y1), [left - 6, y(y1) + 4], "end"), text(short(y0), [left - 6, y(y0) + 4], "end"),
  text(short(x0), [left, height - 12], "start"), text(name, [(left + width) / 2, height - 12], "middle"), text(short(x1), [width - 12, height - 12], "end"));
  if (Number.isFinite(ownValue)) made.append(svg("circle", { cx: x(ownValue), cy: y(ownAnswer), r: 5 }));
  return h("div", {}, h("h3", {}, of), made, h("p", { class: "muted" }, Number.isFinite(ownValue) ? "The dot is this row; its other features stay as they are." : "This row has no value; its other features stay as they are."));
}

// While a person types, the answer follows, where they want that.
let waiting = 0;
function follow() {
  clearTimeout(waiting);
  if (at("follow").checked && asked) waiting = setTimeout(() => at("form").requestSubmit(), WAIT_MS);
}

at("explain").addEventListener("click", why);
at("vary").addEventListener("change", curve);
at("fields").addEventListener("input", follow);
at("fields").addEventListener("change", follow);
