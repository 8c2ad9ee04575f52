// The versions of each served model: which is served, which were, who put them there.
"use strict";

const stateOf = each => each.state === "unknown" ? unknown() : h("span", { class: each.state === "served" ? "badge done" : "badge skipped" }, each.state);
const howOf = each => each.again ? `${each.how} to the model of version ${each.again}` : each.how;

// When each version was the newest, as strips along the time.
function servedStrip(versions) {
  const timed = versions.filter(each => each.time);
  if (!timed.length) return null;
  const start = Date.parse(timed[0].time), end = Math.max(Date.now(), start + 1);
  const x = time => 58 + 828 * (Date.parse(time) - start) / (end - start);
  const bar = (each, place) => { const [from, to] = [x(each.time), each.until ? x(each.until) : 886]; return s("a", { href: each.artifact && each.run ? route("lineage", each.run, each.artifact) : route("versions"), "aria-label": `version ${each.number}, ${each.state}, from ${minute(each.time)}` }, s("g", { class: tone(place) }, s("title", {}, `version ${each.number}: ${minute(each.time)} to ${each.until ? minute(each.until) : "now"}, ${howOf(each)} by ${each.by || "unknown"}`), s("rect", { class: "bar", x: from, y: 4, width: Math.max(2, to - from), height: 22 }), to - from > 26 ? s("text", { class: "on", x: (from + to) / 2, y: 20, "text-anchor": "middle" }, `v${each.number}`) : null)); };
  return h("figure", {}, h("figcaption", {}, `What was served when: ${timed[0].model}`), s("svg", { class: "chart", viewBox: "0 0 900 46", role: "group", "aria-label": "What was served when" }, timed.map(bar), s("text", { x: 58, y: 42 }, minute(timed[0].time)), s("text", { x: 886, y: 42, "text-anchor": "end" }, "now")));
}

function versionsView() {
  const groups = new Map();
  for (const each of millrace.index.versions) {
    const key = `${each.model}\u0000${each.destination}`;
    groups.set(key, [...(groups.get(key) || []), each]);
  }
  if (!groups.size) return section("Versions", h("p", { class: "muted" }, "Nothing has been pushed yet."));
  const columns = [
    { name: "version", number: true, value: each => Number(each.number), cell: each => each.run && each.artifact ? h("a", { href: route("lineage", each.run, each.artifact) }, each.number) : each.number },
    { name: "state", value: each => each.state, cell: each => [stateOf(each), (each.labels || []).map(label => h("div", {}, h("b", {}, label)))] },
    { name: "release", value: each => each.release || "", cell: each => each.release ? h("span", { title: each.change }, each.release) : h("span", { class: "muted", title: each.change }, "unknown") },
    { name: "how", value: howOf, cell: each => [howOf(each), each.why ? h("div", { class: "why", title: each.why }, each.why) : null] },
    { name: "blessed", value: each => each.blessed, cell: each => [blessed(each.blessed), each.approval ? h("div", { title: each.approval }, each.approval) : null, each.reason ? h("div", { class: "why", title: each.reason }, each.reason) : null] },
    { name: "since (UTC)", value: each => each.time && Date.parse(each.time), cell: each => moment(each.time) },
    { name: "until (UTC)", value: each => each.until && Date.parse(each.until), cell: each => each.until ? moment(each.until) : none(each.state === "served" ? "still served" : "unknown") },
    { name: "by", value: each => each.by, cell: each => each.by || unknown() },
    { name: "run", value: each => each.run, cell: each => each.run ? runLink(each.run) : none("by no run") },
    { name: "model", value: each => each.digest, cell: each => digest(each.digest) },
  ];
  return h("div", {}, [...groups.values()].map(each => section(`Versions of ${each[0].model}`, h("p", { class: "muted" }, "In ", h("code", {}, each[0].destination), each[0].state === "unknown" ? ": this machine cannot look into it, so what is served is unknown." : ". Served is the highest number that is there."), servedStrip([...each].reverse()), sortable({ caption: `Versions of ${each[0].model}`, columns, rows: each, descending: true, key: version => version.number }).element)));
}
