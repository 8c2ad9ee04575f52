// Elements, and JSON with the numbers that JavaScript does not have. Text from data becomes text nodes, never markup.
"use strict";
function h(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter(each => each !== null && each !== undefined));
  return made;
}
const at = id => document.getElementById(id);

// A number as it was written: NaN, Infinity and integers beyond 2^53 stay what they are.
class Exact { constructor(text) { this.text = text; } }

const TOKENS = /"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity)|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;
const ODD = /^-?(NaN|Infinity|\d{16,})$/;
const KEY = "\u0000number";
function parsed(text) {
  const plain = text.replace(TOKENS, found => ODD.test(found) ? JSON.stringify({ [KEY]: found }) : found);
  return JSON.parse(plain, (_, value) => value && typeof value === "object" && KEY in value ? new Exact(value[KEY]) : value);
}
function written(value) {
  if (value instanceof Exact) return value.text;
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`;
  if (value && typeof value === "object")
    return `{${Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${written(each)}`).join(", ")}}`;
  return JSON.stringify(value);
}
