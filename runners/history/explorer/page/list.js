// All runs: a table to sort, filter and choose from; and a metric over time, per model.
"use strict";
const filters = { words: "", pipeline: "", state: "", metric: "" };
const chosen = new Set();

const metricNames = rows => [...new Set(rows.flatMap(row => row.models.flatMap(model => Object.keys(model.metrics))))];
const NO_SCORE = ["count", "step", "epoch", "seconds", "threshold"];
const ORDER = ["auc", "lift", "accuracy", "precision", "recall", "f1", "error", "loss"];
// Those that say most come first.
function ranked(names) {
  const rank = name => { const place = ORDER.findIndex(word => name.toLowerCase().includes(word)); return place < 0 ? ORDER.length : place; };
  return names.filter(name => !NO_SCORE.some(word => name.toLowerCase().includes(word))).sort((a, b) => rank(a) - rank(b) || a.length - b.length || a.localeCompare(b));
}
// The model that a run is known by: what it chose or pushed, else what was blessed, else its first.
const mainModel = row => row.models.find(each => each.chosen) || row.models.find(each => each.version) || row.models.find(each => each.blessed) || row.models[0];
const firstMetric = row => { const model = mainModel(row); const name = model && (filters.metric || ranked(Object.keys(model.metrics))[0]); return model && name in model.metrics ? [name, model.metrics[name]] : null; };

function select(name, values, current, change, every = "all") {
  return h("label", {}, name, h("select", { onchange: event => change(event.target.value) }, h("option", { value: "" }, every), options(values, current)));
}

function versionCell(row) {
  const found = row.pushes.map(push => {
    const state = millrace.stands.get(standing(push.destination, push.model, push.version));
    return h("a", { href: route("versions"), class: state === "served" ? "served" : "" }, `${push.version}`, state === "served" ? " served" : "");
  });
  return found.length ? found.flatMap((each, place) => place ? [", ", each] : [each]) : none("nothing pushed");
}

function runsView() {
  const all = millrace.index.runs;
  const columns = [
    { name: h("span", { class: "spoken" }, "chosen"), cell: row => h("input", { type: "checkbox", checked: chosen.has(row.id), "aria-label": `choose ${row.name}`, onchange: event => { event.target.checked ? chosen.add(row.id) : chosen.delete(row.id); offer(); } }) },
    { name: "run", value: row => row.name, cell: row => runLink(row.id) },
    { name: "pipeline", value: row => row.pipeline, cell: row => row.pipeline || unknown() },
    { name: "state", value: row => row.state, cell: row => [badge(row.state), row.part ? h("small", { class: "muted" }, ` ${row.part}`) : null, row.error ? h("div", { class: "why", title: row.error }, row.error) : null] },
    { name: "started (UTC)", value: row => row.started && Date.parse(row.started), cell: row => moment(row.started) },
    { name: "duration", number: true, value: row => row.seconds, cell: row => duration(row.seconds) ?? (goesOn(row) ? none(goesOn(row)) : unknown()) },
    { name: "metric", number: true, value: row => firstMetric(row)?.[1] ?? null, cell: row => { const found = firstMetric(row); return found ? [h("small", { class: "muted" }, `${found[0]} `), number(found[1])] : none("no such metric"); } },
    { name: "blessed", value: row => mainModel(row)?.blessed ?? null, cell: row => [blessed(mainModel(row)?.blessed ?? null), row.models.length > 1 ? h("small", { class: "muted" }, ` ${mainModel(row).name}; ${row.models.filter(each => each.blessed).length} of ${row.models.length}`) : null] },
    { name: "version", value: row => row.pushes[0]?.version ?? null, cell: versionCell },
    { name: "by", value: row => row.by, cell: row => row.by || unknown() },
  ];
  columns.rowHead = 1;
  const list = sortable({ caption: "Runs", columns, rows: all, sort: 4, descending: true, key: row => row.id });
  const counted = h("span", { role: "status" });
  const compare = h("a", { class: "action", id: "compare" });
  function offer() {
    compare.textContent = chosen.size < 2 ? "Choose runs to compare" : `Compare ${plural(chosen.size, "run")}`;
    if (chosen.size < 2) { compare.removeAttribute("href"); compare.setAttribute("aria-disabled", "true"); } else { compare.href = route("compare", ...chosen); compare.removeAttribute("aria-disabled"); }
  }
  function apply() {
    const words = filters.words.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = all.filter(row => (!filters.pipeline || row.pipeline === filters.pipeline) && (!filters.state || row.state === filters.state)
      && (!words.length || words.every(word => [row.name, row.id, row.pipeline, row.target, row.state, row.by, row.error, ...row.models.map(each => each.name)].join(" ").toLowerCase().includes(word))));
    list.show(shown);
    counted.textContent = shown.length === all.length ? plural(all.length, "run") : `${grouped.format(shown.length)} of ${plural(all.length, "run")}`;
  }
  const change = name => value => { filters[name] = value; apply(); };
  const redraw = value => { filters.metric = value; main.render(); };
  offer(); apply();
  const { damaged = [], note = "" } = millrace.index;
  return h("div", {}, section("Runs",
    h("div", { class: "filters", role: "search" },
      h("label", {}, "Find", h("input", { type: "search", id: "words", value: filters.words, placeholder: "words of a run, state, error, person", oninput: event => change("words")(event.target.value) })),
      select("Pipeline", [...new Set(all.map(row => row.pipeline))].sort(), filters.pipeline, change("pipeline")),
      select("State", [...new Set(all.map(row => row.state))].sort(), filters.state, change("state")),
      select("Metric", ranked(metricNames(all)), filters.metric, redraw, "the first of each"),
      counted, compare),
    note ? h("p", { class: "verdict" }, note) : null,
    damaged.length ? h("p", { class: "verdict bad-box" }, `Not to be read, so not in the list: ${damaged.slice(0, 5).join(", ")}${damaged.length > 5 ? ` and ${damaged.length - 5} more` : ""}; their run.json is damaged.`) : null,
    all.length ? list.element : h("p", {}, "There are no runs here yet; ", h("code", {}, "./millrace run MODEL"), " starts one.")));
}

// A metric of every evaluated model over time: a line for each model of each pipeline, and what was served when.
function timeView(pipeline, metric) {
  const pipelines = [...new Set(millrace.index.runs.filter(row => row.models.length).map(row => row.pipeline))].sort();
  if (!pipelines.length) return section("Metrics over time", h("p", { class: "muted" }, "No run has metrics yet."));
  const current = pipelines.includes(pipeline) ? pipeline : pipelines[0];
  const rows = millrace.index.runs.filter(row => row.pipeline === current && row.started).reverse();
  const names = ranked(metricNames(rows));
  const shown = names.includes(metric) ? metric : names[0];
  const go = (one, other) => { location.hash = route("time", one, other || ""); };
  const versions = millrace.index.versions.filter(each => rows.some(row => row.id === each.run));
  const series = new Map();
  const points = [];
  for (const row of rows) for (const model of row.models) {
    const value = model.metrics[shown];
    if (typeof value !== "number") continue;
    const version = versions.find(each => each.run === row.id && (!model.digest || each.digest === model.digest));
    if (!series.has(model.name)) series.set(model.name, []);
    const point = { x: Date.parse(row.started), y: value, href: route("run", row.id), big: !!version, label: version ? `v${version.number}` : "", title: `${row.name}, ${model.name}: ${shown} ${number(value)}${version ? `, version ${version.number} (${version.state})` : ""}` };
    series.get(model.name).push(point);
    points.push([row, model, value, version]);
  }
  const of = millrace.index.versions.filter(each => versions.some(one => one.model === each.model && one.destination === each.destination)).reverse();
  return h("div", {}, section(`Metrics over time: ${current}`,
    h("div", { class: "filters" }, h("label", {}, "Pipeline", h("select", { id: "pipeline", onchange: event => go(event.target.value) }, options(pipelines, current))), h("label", {}, "Metric", h("select", { id: "metric", onchange: event => go(current, event.target.value) }, options(names, shown)))),
    points.length ? chart({ title: `${shown || "no metric"} of each run; large: pushed as a version`, width: 900, x: { name: "when the run started (UTC)", time: true }, y: { name: shown }, series: [...series].map(([name, each]) => ({ name, points: each, line: true, dots: true })) }) : h("p", { class: "muted" }, "No run of it has metrics."),
    of.length ? servedStrip(of) : null,
    h("details", { class: "plain" }, h("summary", {}, "The same as a table"), plainTable(`${shown} of each run`, ["run", "model", "started (UTC)", shown || "", "version"], points.map(([row, model, value, version]) => [runLink(row.id), model.name, moment(row.started), number(value), version ? `${version.number} (${version.state})` : none("not pushed")]), { numbers: [3] }))));
}
const options = (names, current) => names.map(each => { const made = h("option", { value: each }, each); made.selected = each === current; return made; });
