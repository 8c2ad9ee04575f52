// An answer as text, and numbers that are shares of one as bars.
"use strict";
const MOST_BARS = 20, MOST_VALUES = 200;

const isShare = value => typeof value === "number" && value >= 0 && value <= 1;
const short = value => value instanceof Exact ? value.text : typeof value === "number" ? String(Number.isInteger(value) ? value : Number(value.toPrecision(6))) : typeof value === "string" ? value : written(value);

function bars(values, names) {
  const sorted = values.map((value, place) => ({ value, name: names ? names[place] : String(place) }));
  if (values.length > 2) sorted.sort((one, other) => other.value - one.value);
  const rest = sorted.length - MOST_BARS;
  return [
    h("ol", { class: "bars" }, sorted.slice(0, MOST_BARS).map(({ value, name }) => {
      const bar = h("i");
      bar.style.width = `${value * 100}%`;
      return h("li", {}, h("span", { class: "of" }, name), h("span", { class: "track", "aria-hidden": "true" }, bar), h("b", {}, short(value)));
    })),
    rest > 0 ? h("p", { class: "muted" }, `and ${rest} smaller ones`) : null,
  ];
}

function output(spec, value, siblings) {
  const title = h("h3", {}, spec.name);
  const list = Array.isArray(value) ? value.flat(Infinity) : [value];
  const isFloat = /float/.test(spec.dtype);
  // A list of texts of the same length names the places, as `classes` beside `scores`.
  const names = siblings.find(each => Array.isArray(each) && each.length === list.length && each.every(one => typeof one === "string"));
  const depth = each => Array.isArray(each) ? 1 + depth(each[0]) : 0;
  if (isFloat && list.length && list.every(isShare) && depth(value) <= 1)
    return h("div", { class: "output" }, title, bars(list, list.length === 1 ? ["of 1"] : names));
  const type = imageType(value);
  if (type) return h("div", { class: "output" }, title, h("img", { alt: `the image ${spec.name}`, src: `data:image/${type};base64,${value.b64}` }));
  const text = list.length > MOST_VALUES ? `${list.slice(0, MOST_VALUES).map(short).join(", ")}, and ${list.length - MOST_VALUES} more`
    : Array.isArray(value) && depth(value) <= 1 ? list.map(short).join(", ") : short(value);
  return h("div", { class: "output" }, title, h("p", { class: Array.isArray(value) || text.length > 40 ? "value" : "value large" }, text === "" ? "(empty)" : text));
}

// The answer to one row: by output, or of the only one.
function answer(outputs, prediction) {
  const byName = outputs.length > 1 ? prediction : { [outputs[0].name]: prediction };
  return outputs.map(spec => output(spec, byName[spec.name], Object.values(byName)));
}
