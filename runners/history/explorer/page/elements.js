// Elements, and how numbers, times and states are written. Text from data becomes text nodes, never markup.
"use strict";
const SVG = "http://www.w3.org/2000/svg";

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter(each => each !== null && each !== undefined && each !== ""));
  return made;
}
const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const unknown = () => h("span", { class: "muted" }, "unknown");
const none = why => h("span", { class: "muted", title: why }, "–", h("span", { class: "spoken" }, why));
const section = (title, ...parts) => h("section", {}, h("h2", {}, title), ...parts);
const route = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

const grouped = new Intl.NumberFormat("en-US");
// Five digits, as the commands write numbers.
function number(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (Number.isInteger(value)) return grouped.format(value);
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e6 ? String(Number(value.toPrecision(5))) : value.toPrecision(4);
}
function duration(seconds) {
  if (seconds === null || seconds === undefined || seconds < 0) return null;
  if (seconds < 0.05) return "<0.1 s";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
}
const minute = time => time ? time.slice(0, 16).replace("T", " ") : null;
const moment = time => time ? h("time", { datetime: time, title: `${time} (UTC)` }, minute(new Date(time).toISOString())) : unknown();
const digest = text => text ? h("code", { title: text }, text.replace(/^.*:/, "").slice(0, 12)) : h("span", { class: "muted" }, "no digest");
const badge = (state, alert) => h("span", { class: `badge ${alert || state}` }, state);
// What is said of a run that has not ended, in place of its duration.
const goesOn = row => ({ running: "still running", waiting: "waits for a person" })[row.state] ?? null;
const blessed = value => value === null ? none("not evaluated, or not known") : h("span", { class: value ? "good" : "bad" }, value ? "yes" : "no");
const runLink = (id, ...text) => millrace.runs.has(id) ? h("a", { href: route("run", id) }, ...(text.length ? text : [millrace.runs.get(id).name])) : h("span", {}, ...(text.length ? text : [id]));
const outside = (href, ...text) => h("a", { href, target: "_blank", rel: "noopener" }, ...text);
const facts = entries => h("dl", { class: "facts" }, entries.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
const say = text => { document.getElementById("spoken").textContent = text; };
const plural = (count, one, many = `${one}s`) => `${grouped.format(count)} ${count === 1 ? one : many}`;
