// Lineage: from what is chosen up to the raw data and down to what is served, as a graph to go along.
"use strict";
const DRAWN_ELSEWHERE = new Set(["system.HTML", "system.Markdown", "system.Metrics", "system.ClassificationMetrics", "system.SlicedClassificationMetrics"]);
const shownRuns = new Set();

// Which data, changed how, made which model: all that the runs in view tell.
function merged(details) {
  const executions = new Map(), artifacts = new Map();
  for (const detail of details) {
    for (const each of detail.executions) executions.set(each.id, each);
    for (const each of detail.artifacts) if (!artifacts.get(each.id)?.maker) artifacts.set(each.id, each);
  }
  const edges = [];
  for (const each of executions.values()) {
    for (const id of new Set(Object.values(each.inputs))) edges.push([id, each.id]);
    for (const id of new Set(Object.values(each.outputs))) edges.push([each.id, id]);
  }
  const raw = new Set([...executions.values()].map(each => each.inputs.data));
  return { executions, artifacts, raw, edges: edges.filter(each => each.every(id => executions.has(id) || artifacts.has(id))) };
}

// All that leads to a node (up), or that it leads to; with itself, the nearest first.
function along(id, edges, up) {
  const next = new Map();
  for (const [from, to] of edges) { const [here, there] = up ? [to, from] : [from, to]; next.set(here, [...(next.get(here) || []), there]); }
  const seen = new Set([id]);
  for (const at of seen) for (const each of next.get(at) || []) seen.add(each);
  return seen;
}

const lastPart = text => text.replace(/\/+$/, "").split("/").pop() || text;
const isSource = artifact => artifact.type === "file";
function nodeOf(id, all) {
  const execution = all.executions.get(id);
  if (execution) {
    const told = execution.state === "done" ? "" : execution.state;
    return { id, kind: "execution", state: execution.state, title: execution.task, note: told, label: `${execution.task}, a task of ${nameOf(execution.run)}, ${execution.state}${execution.error ? `: ${execution.error}` : ""}` };
  }
  const artifact = all.artifacts.get(id);
  const { facts } = artifact;
  const version = "destination" in facts || "repo_id" in facts ? facts.version || facts.revision : "";
  const notes = [version ? `version ${version}` : "", facts.rows ? `${facts.rows} rows` : "", facts.review || "", facts.blessed ? (facts.blessed === "yes" ? "blessed" : "not blessed") : "", facts.errors && facts.errors !== "0" ? `${facts.errors} errors` : "", facts.pushed === "no" ? "not pushed" : "", facts.found === "no" ? "none" : ""].filter(Boolean);
  const title = isSource(artifact) ? lastPart(artifact.name) : lastPart(artifact.name || artifact.uri);
  const note = isSource(artifact) ? (all.raw.has(id) ? "raw data" : "file") : notes[0] || artifact.digest.replace(/^.*:/, "").slice(0, 8);
  return { id, kind: isSource(artifact) ? "source" : artifact.type === "system.Model" ? "model" : "artifact", title: title.length > 30 ? `${title.slice(0, 29)}…` : title, note, label: `${isSource(artifact) ? "from outside: " : ""}${artifact.name || artifact.uri}${notes.length ? `, ${notes.join(", ")}` : ""}${artifact.digest ? `, content ${artifact.digest.replace(/^.*:/, "").slice(0, 12)}` : ""}` };
}
const nameOf = run => millrace.runs.get(run)?.name || run || "an unknown run";

function lineageView(run, node, details) {
  const all = merged(details);
  const row = millrace.runs.get(run);
  const known = id => all.executions.has(id) || all.artifacts.has(id);
  const chosenNode = known(node) ? node : beginning(row, details.find(each => each.id === run), all);
  if (!chosenNode) return section(`Lineage of ${row.name}`, h("p", { class: "muted" }, "Nothing is recorded of what this run made. Without the library openlineage-python no lineage is written."));
  const above = along(chosenNode, all.edges, true), below = along(chosenNode, all.edges, false);
  const near = new Set([...above, ...below]);
  const isShown = id => id === chosenNode || (near.has(id) && !DRAWN_ELSEWHERE.has(all.artifacts.get(id)?.type));
  const edges = all.edges.filter(each => each.every(isShown));
  const nodes = [...near].filter(isShown).map(id => nodeOf(id, all));
  const choose = id => { lineageView.fromGraph = true; location.hash = route("lineage", run, id); };
  const drawn = graph({ nodes, edges, chosen: chosenNode, choose, label: `Lineage of ${nodeOf(chosenNode, all).label}` });
  lineageView.drawn = () => { drawn.reveal(chosenNode); if (lineageView.fromGraph) drawn.focus(chosenNode); lineageView.fromGraph = false; };
  const extra = details.filter(each => each.id !== run);
  return h("div", { class: "lineage" },
    section(`Lineage: ${nodeOf(chosenNode, all).title}`,
      h("p", { class: "muted" }, "From what came from outside, at the top, down to what came of it. In view: ", runLink(run), extra.map(each => [", ", runLink(each.id), " ", h("button", { type: "button", class: "plain", "aria-label": `leave ${nameOf(each.id)} out`, onclick: () => { shownRuns.delete(each.id); main.render(); } }, "×")]), "."),
      h("ul", { class: "keys" }, [["source", "from outside"], ["execution", "a task"], ["artifact", "an artifact"], ["model", "a model"]].map(([kind, name]) => h("li", {}, s("svg", { width: 22, height: 14, "aria-hidden": "true" }, s("g", { class: `node ${kind}` }, s("rect", { x: 1, y: 1, width: 20, height: 12, rx: kind === "execution" ? 6 : 2 }))), " ", name))),
      drawn.element, nested(chosenNode, nodes, edges, choose)),
    panel(run, chosenNode, all, choose, above, below));
}

// Where one begins: what the run pushed, else its model, else what it made last.
function beginning(row, detail, all) {
  const pushed = row.pushes.map(each => each.artifact).find(id => all.artifacts.has(id));
  const own = detail.executions.flatMap(each => Object.values(each.outputs)).map(id => all.artifacts.get(id)).filter(Boolean);
  const models = own.filter(each => each.type === "system.Model" && !("found" in each.facts));
  return pushed || models.find(each => each.digest && row.models.some(model => model.digest === each.digest))?.id || models.at(-1)?.id || own.filter(each => !DRAWN_ELSEWHERE.has(each.type)).at(-1)?.id || own.at(-1)?.id || detail.executions.at(-1)?.id;
}

function panel(run, id, all, choose, above, below) {
  const execution = all.executions.get(id), artifact = all.artifacts.get(id);
  const go = (other, text) => h("button", { type: "button", class: "plain", onclick: () => choose(other) }, text || nodeOf(other, all).title);
  const listed = (title, ids) => ids.length ? [h("h3", {}, title), h("ul", { class: "artifacts" }, ids.map(([name, other]) => h("li", {}, name ? h("span", { class: "muted" }, `${name} `) : null, go(other))))] : [];
  const beginnings = [...above].filter(each => each !== id && all.artifacts.has(each) && isSource(all.artifacts.get(each)));
  const ends = [...below].filter(each => each !== id && all.artifacts.get(each)?.type === "system.Model" && !("found" in all.artifacts.get(each).facts));
  const parts = [listed("Came from outside", beginnings.map(each => [nodeOf(each, all).note, each])), listed("Models that came of it", ends.map(each => [nodeOf(each, all).note, each]))];
  if (execution) {
    const sharing = millrace.index.runs.filter(row => row.executions.includes(id));
    parts.push(facts([["made by", runLink(execution.run)], ["state", badge(execution.state)], ["when (UTC)", moment(execution.time)]]),
      execution.error ? h("div", { class: "verdict bad-box" }, execution.error) : null,
      execution.page ? [h("p", {}, outside(execution.page, `Report of ${execution.task}`)), frame(execution)] : h("p", { class: "muted" }, "It left no report."),
      listed("Read", Object.entries(execution.inputs)), listed("Made", Object.entries(execution.outputs)),
      Object.keys(execution.parameters).length ? [h("h3", {}, "Parameters"), plainTable(`Parameters of ${execution.task}`, ["parameter", "value"], Object.entries(execution.parameters))] : null,
      others("Runs that it answered", sharing, run));
  } else {
    const makers = artifact.maker ? millrace.index.runs.filter(row => row.executions.includes(artifact.maker)) : millrace.index.runs.filter(row => row.sources.includes(id));
    const maker = all.executions.get(artifact.maker);
    parts.push(facts([["content", digest(artifact.digest)], ["type", artifact.type.replace("system.", "") || unknown()]]), artifact.uri ? h("p", { class: "place" }, h("code", {}, artifact.uri)) : null,
      modelFacts(artifact, run),
      maker?.page ? h("p", {}, outside(maker.page, `Report of ${maker.task}`)) : null,
      listed("Made by", artifact.maker && maker ? [["", artifact.maker]] : []), artifact.maker || isSource(artifact) ? null : h("p", { class: "muted" }, "What made it is not recorded here."),
      listed("Read by", [...all.executions.values()].filter(each => Object.values(each.inputs).includes(id)).map(each => ["", each.id])),
      Object.keys(artifact.facts).length ? [h("h3", {}, "What is said of it"), plainTable("What is said of it", ["fact", "value"], Object.entries(artifact.facts))] : null,
      others(isSource(artifact) ? "Runs that read this content" : "Runs that it is a part of", makers, run));
    if (isSource(artifact)) {
      const changed = millrace.index.runs.filter(row => !row.sources.includes(id) && row.sources.some(each => each.split("\u0000")[0] === artifact.uri));
      if (changed.length) parts.push(others("Runs that read other content from there", changed, run));
    }
  }
  return h("section", { class: "panel", "aria-label": "What is chosen" }, h("h2", {}, execution ? execution.task : artifact.name || artifact.uri), ...parts);
}

// What a model's content is known as elsewhere: a version that is served, the baseline of other runs, another run's model.
function modelFacts(artifact, run) {
  const content = artifact.facts.model_digest || artifact.digest;
  if ((artifact.type !== "system.Model" && !/\/watched$/.test(artifact.name)) || !content || artifact.facts.found === "no") return null;
  const versions = millrace.index.versions.filter(each => each.digest === content);
  const runs = millrace.index.runs.filter(row => row.models.some(model => model.digest === content));
  const compared = millrace.index.runs.filter(row => row.models.some(model => model.baseline === content));
  return [versions.length ? h("p", {}, versions.map(each => h("div", {}, h("a", { href: route("versions") }, `version ${each.number} of ${each.model}`), ` ${each.state}, ${howOf(each)} by `, each.by || "somebody unknown", each.time ? ` at ${minute(each.time)}` : ""))) : h("p", { class: "muted" }, "No version has this model."), others("Runs that made this model", runs, run), others("Runs that compared theirs with it", compared, run)];
}

function others(title, rows, run) {
  if (!rows.length) return null;
  const entry = row => h("li", {}, runLink(row.id), " ", badge(row.state), row.pushes.map(push => h("span", {}, ` version ${push.version} of ${push.model}`)), row.id === run || shownRuns.has(row.id) ? null : [" ", h("button", { type: "button", class: "plain", "aria-label": `show ${row.name} in the graph`, onclick: () => { shownRuns.add(row.id); main.render(); } }, "show in the graph")]);
  return [h("h3", {}, `${title} (${grouped.format(rows.length)})`), h("ul", { class: "artifacts" }, rows.slice(0, 8).map(entry)), rows.length > 8 ? h("details", { class: "plain" }, h("summary", {}, `${rows.length - 8} more`), h("ul", { class: "artifacts" }, rows.slice(8, 208).map(entry)), rows.length > 208 ? h("p", { class: "muted" }, "The others are in the list of runs.") : null) : null];
}

// The report inside of the page. It runs no scripts where the server says so; from a folder, where a browser loads nothing
// into a frame with less rights, it may do what it may when it is opened by its link.
function frame(execution) {
  const holder = h("details", { class: "plain", ontoggle: () => { if (holder.open && holder.children.length === 1) holder.append(h("iframe", { class: "foreign", sandbox: location.protocol === "file:" ? null : "", src: execution.page, title: `Report of ${execution.task}` })); } }, h("summary", {}, "Show it here"));
  return holder;
}
