// All of one run.
"use strict";

function runView(detail) {
  const row = millrace.runs.get(detail.id);
  const newer = millrace.index.runs.filter(each => each.pipeline === row.pipeline);
  const before = newer[newer.indexOf(row) + 1];
  const failed = detail.tasks.filter(task => task.state === "failed");
  const led = mainModel(row);
  const models = [...row.models].sort((a, b) => (b === led) - (a === led)).map(model => plainModel(row, model, detail));
  const tasks = sortable({ caption: "Tasks", key: task => task.name, rows: detail.tasks, columns: [
    { name: "task", value: task => detail.tasks.indexOf(task), cell: task => task.name },
    { name: "state", value: task => task.state, cell: task => badge(task.state, task.alert) },
    { name: "seconds", number: true, value: task => task.seconds, cell: task => task.seconds === null ? none(task.state === "cached" ? "from the cache" : "did not work") : task.seconds.toFixed(1) },
    { name: "what came of it", value: task => task.error || task.facts, cell: task => task.error ? h("span", { class: "bad" }, task.error) : task.facts || (task.condition && task.state === "skipped" ? `only if ${task.condition}` : none("nothing to tell")) },
    { name: "look", cell: task => between(task.page ? outside(task.page, "report") : null, task.log ? outside(task.log, "log") : null, task.execution && detail.executions.some(each => each.id === task.execution) ? h("a", { href: route("lineage", row.id, task.execution), "aria-label": `lineage of ${task.name}` }, "lineage") : null) },
  ] });
  return h("div", {},
    h("section", {}, h("div", { class: "hero" }, h("div", {}, h("h2", { class: "name" }, row.name), h("div", { class: "id" }, row.pipeline, " · ", moment(row.started), " · ", row.target, row.part ? ` · ${row.part}` : "")), badge(row.state)),
      facts([["duration", duration(row.seconds) ?? (goesOn(row) ?? unknown())], ["by", byOf(row)], ...begunBy(row), ["tasks", taskCounts(detail.tasks)], ...row.pushes.map(push => [`version of ${push.model}`, push.version])]),
      row.error ? h("div", { class: "verdict bad-box" }, h("b", {}, failed.length ? `${failed[0].name} failed` : `The run ${row.state === "stopped" ? "was stopped" : "failed"}`), h("div", {}, row.error)) : null,
      h("p", { class: "links" }, detail.executions.length ? h("a", { class: "action", href: route("lineage", row.id) }, "Lineage") : null, before ? h("a", { class: "action", href: route("compare", before.id, row.id) }, "Compare with the run before") : null, row.report ? outside(row.report, "Report of the run") : null)),
    models.length ? section(models.length > 1 ? "Models" : "Model", models, modelTable(row, detail)) : null,
    curvePart([detail], [row.name]),
    section("Tasks", tasks.element),
    Object.keys(detail.metrics).length ? section("Metrics", plainTable("Metrics", ["metric", "value"], Object.entries(detail.metrics).map(([name, value]) => [name, number(value)]), { numbers: [1] })) : null,
    section("Parameters", Object.keys(detail.parameters).length ? plainTable("Parameters", ["parameter", "value"], Object.entries(detail.parameters)) : h("p", { class: "muted" }, "None are known.")));
}

// Several models of a run side by side.
function modelTable(row, detail) {
  const names = ranked([...new Set(row.models.flatMap(model => Object.keys(model.metrics)))]).slice(0, 12);
  if (row.models.length < 2 || !names.length) return null;
  const best = name => {
    const values = row.models.map(model => model.metrics[name]).filter(each => typeof each === "number");
    const { way } = wayOf([detail], name);
    return way && new Set(values).size > 1 ? (way > 0 ? Math.max(...values) : Math.min(...values)) : null;
  };
  return plainTable("Metrics of the models", ["metric", ...row.models.map(model => model.name)], names.map(name => {
    const top = best(name);
    return [[name, " ", wayMark([detail], name)], ...row.models.map(({ metrics }) => !(name in metrics) ? none("not measured") : metrics[name] === top ? h("b", { class: "good", title: "the best of them" }, number(metrics[name]), h("span", { class: "spoken" }, " best")) : number(metrics[name]))];
  }), { numbers: row.models.map((_, place) => place + 1) });
}

// Who started a run; the look at a version in service that has begun it is a run itself.
function byOf(row) {
  const [, before, look] = /^(.*?)watch (\S+)$/.exec(row.by) || [];
  return look && millrace.runs.has(look) ? [before, "watch ", runLink(look)] : row.by || unknown();
}
const begunBy = row => { const begun = millrace.index.runs.filter(each => each.by.split(", ").includes(`watch ${row.id}`)); return begun.length ? [["began", begun.map(each => runLink(each.id))]] : []; };

const between = (...parts) => parts.filter(Boolean).flatMap((part, place) => place ? [" · ", part] : [part]);

function taskCounts(tasks) {
  const counts = new Map();
  for (const task of tasks) counts.set(task.state, (counts.get(task.state) || 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(", ") || unknown();
}

// Tasks that judged a model, as the run says, and left nothing that could be read today.
const judgesGone = detail => detail.tasks.filter(task => task.stage === "evaluate" && ["done", "cached"].includes(task.state) && !Object.keys(detail.digests).some(output => output.startsWith(`${task.name}/`))).map(task => task.name);

function plainModel(row, model, detail) {
  const gone = judgesGone(detail);
  const head = model.blessed === null ? gone.length ? `Whether it is blessed is unknown: the records of ${gone.join(", ")} are gone` : "Not evaluated, so not blessed" : model.blessed ? model.chosen === false ? "Blessed, but another was chosen" : model.version ? `${model.chosen ? "Chosen" : "Blessed"}, and in service as version ${model.version} when it was pushed` : `${model.chosen ? "Chosen" : "Blessed"}, but not pushed` : "Not blessed, so not pushed";
  return h("div", { class: `verdict ${model.blessed ? "good-box" : model.blessed === false ? "bad-box" : ""}` }, h("b", {}, `${model.name}: ${head}`), model.reason ? h("div", {}, model.reason) : null, model.approval ? h("div", {}, h("b", {}, model.approval)) : null,
    h("div", { class: "muted" }, "content ", digest(model.digest), ...baselineOf(row, model)));
}

// Which version or run a model was compared with.
function baselineOf(row, model) {
  if (!model.baseline) return [];
  // A rollback gives the same content another number: what there was when the run ended, the newest of it.
  const ended = Date.parse(row.started) + (row.seconds || 0) * 1000;
  const version = millrace.index.versions.find(each => each.digest === model.baseline && Date.parse(each.time) <= ended);
  const run = millrace.index.runs.findLast(each => each.models.some(other => other.digest === model.baseline));
  return [" · compared with ", version ? `version ${version.number}` : digest(model.baseline), ...(run ? [" of ", runLink(run.id)] : [])];
}
