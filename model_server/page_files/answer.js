// An answer as text, numbers that are shares of one as bars, and what has the shape of an image as one.
"use strict";
const MOST_BARS = 20, MOST_VALUES = 200;

const isShare = value => typeof value === "number" && value >= 0 && value <= 1;
const short = value => value instanceof Exact ? value.text : typeof value === "number" ? String(Number.isInteger(value) ? value : Number(value.toPrecision(6))) : typeof value === "string" ? value : written(value);

const share = value => value > 0 && value < 1e-6 ? "<0.000001" : String(Number(value.toFixed(6)));
const depth = each => Array.isArray(each) ? 1 + depth(each[0]) : 0;

function bars(values, names) {
  const sorted = values.map((value, place) => ({ value, name: names ? names[place] : String(place) }));
  if (values.length > 2) sorted.sort((one, other) => other.value - one.value);
  const rest = sorted.length - MOST_BARS;
  return [
    h("ol", { class: "bars" }, sorted.slice(0, MOST_BARS).map(({ value, name }) => {
      const bar = h("i");
      bar.style.width = `${value * 100}%`;
      return h("li", {}, h("span", { class: "of" }, name), h("span", { class: "track", "aria-hidden": "true" }, bar), h("b", {}, share(value)));
    })),
    rest > 0 ? h("p", { class: "muted" }, `and ${rest} smaller ones`) : null,
  ];
}

const isImage = (value, list) => [2, 3].includes(depth(value)) && value.length >= 4 && value[0].length >= 4
  && (depth(value) === 2 || [1, 3].includes(value[0][0].length)) && list.every(each => Number.isFinite(Number(each)) && typeof each !== "string");

// From the smallest value in black to the largest in white.
function picture(spec, value, list) {
  const lowest = list.reduce((one, other) => Math.min(one, other)), highest = list.reduce((one, other) => Math.max(one, other));
  const canvas = h("canvas", { role: "img", width: value[0].length, height: value.length, "aria-label": `the image ${spec.name}` });
  const pixels = canvas.getContext("2d").createImageData(canvas.width, canvas.height);
  value.flat().forEach((pixel, at) => {
    const parts = [pixel].flat().map(each => (each - lowest) / (highest - lowest || 1) * 255);
    pixels.data.set([parts[0], parts[1] ?? parts[0], parts[2] ?? parts[0], 255], at * 4);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return [canvas, h("p", { class: "muted" }, `${value.length} × ${value[0].length} values, from ${short(lowest)} (black) to ${short(highest)} (white)`)];
}

function output(spec, value, siblings) {
  const title = h("h3", {}, spec.name);
  const list = Array.isArray(value) ? value.flat(Infinity) : [value];
  const isFloat = /float/.test(spec.dtype);
  // A list of texts of the same length names the places, as `classes` beside `scores`.
  const names = siblings.find(each => Array.isArray(each) && each.length === list.length && each.every(one => typeof one === "string"));
  if (isFloat && list.length && list.every(isShare) && depth(value) <= 1)
    return h("div", { class: "output" }, title, bars(list, list.length === 1 ? ["of 1"] : names));
  const type = imageType(value);
  if (type) return h("div", { class: "output" }, title, h("img", { alt: `the image ${spec.name}`, src: `data:image/${type};base64,${value.b64}` }));
  if (isImage(value, list)) return h("div", { class: "output" }, title, ...picture(spec, value, list.map(Number)));
  const text = list.length > MOST_VALUES ? `${list.slice(0, MOST_VALUES).map(short).join(", ")}, and ${list.length - MOST_VALUES} more`
    : Array.isArray(value) && depth(value) <= 1 ? list.map(short).join(", ") : short(value);
  return h("div", { class: "output" }, title, h("p", { class: Array.isArray(value) || text.length > 40 ? "value" : "value large" }, text === "" ? "(empty)" : text));
}

// The answer to one row: by output, or of the only one.
function answer(outputs, prediction) {
  const byName = outputs.length > 1 ? prediction : { [outputs[0].name]: prediction };
  return outputs.map(spec => output(spec, byName[spec.name], Object.values(byName)));
}
