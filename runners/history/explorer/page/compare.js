// Any number of runs side by side.
"use strict";

function compareView(details) {
  const rows = details.map(each => millrace.runs.get(each.id));
  const names = rows.map(row => row.name);
  const heads = rows.map((row, place) => h("span", { class: `key ${tone(place)}` }, h("i", {}), runLink(row.id)));
  // A table of one value of each run for every name; alike ones are folded away.
  const lines = (maps, show, nameOfKey = key => key, differs = values => new Set(values).size > 1) => {
    const keys = [...new Set(maps.flatMap(map => Object.keys(map)))];
    const made = keys.map(key => {
      const values = maps.map(map => key in map ? map[key] : undefined);
      const line = [nameOfKey(key), ...values.map((value, place) => show(value, key, values, place))];
      line.differs = differs(values.filter((value, place) => value !== undefined || !unfinished(details[place], key)));
      return line;
    });
    return [made.filter(each => each.differs), made.filter(each => !each.differs)];
  };
  const part = (title, maps, show, options = {}) => {
    const [unlike, alike] = lines(maps, show, options.named);
    if (!unlike.length && !alike.length) return section(title, h("p", { class: "muted" }, "None are known."));
    const numbers = options.number ? names.map((_, place) => place + 1) : [];
    return section(title, unlike.length ? plainTable(`${title} that differ`, [h("span", { class: "spoken" }, "name"), ...heads.map(copy)], unlike, { numbers }) : h("p", { class: "muted" }, "No difference is known."),
      alike.length ? h("details", { class: "plain", open: !!options.open && !unlike.length }, h("summary", {}, `${alike.length} the same`), plainTable(`${title} that are the same`, ["", ...heads.map(copy)], alike, { numbers })) : null, ...(options.more || []));
  };
  const value = (given, key, _, place) => given === undefined ? h("span", { class: "muted" }, unfinished(details[place], key) ? "not run" : "none") : given;
  const metric = (given, key, values) => {
    if (given === undefined) return none("none");
    const way = wayOf(details, key).way;
    const known = values.filter(each => typeof each === "number");
    const best = way && known.length > 1 && new Set(known).size > 1 && given === (way > 0 ? Math.max(...known) : Math.min(...known));
    return best ? h("b", { class: "good", title: "the best of them" }, number(given), h("span", { class: "spoken" }, " best")) : number(given);
  };
  return h("div", { class: "compared" },
    section(`Comparison of ${plural(rows.length, "run")}`, plainTable("Outcome", ["", ...heads.map(copy)], [
      ["state", ...rows.map(row => badge(row.state))], ["started (UTC)", ...rows.map(row => moment(row.started))], ["duration", ...rows.map(row => duration(row.seconds) ?? unknown())],
      ["by", ...rows.map(row => row.by || unknown())], ["blessed", ...rows.map(row => row.models.length ? row.models.map(each => h("div", {}, row.models.length > 1 ? `${each.name}${each.chosen ? " (chosen)" : ""} ` : "", blessed(each.blessed))) : none("no model"))],
      ["version", ...rows.map(versionCell)], ["error", ...rows.map(row => row.error || none("none"))]])),
    part("Metrics", details.map(each => each.metrics), metric, { number: true, named: key => [key, " ", wayMark(details, key)] }),
    curvePart(details, names), slicePart(details, names, heads), part("Parameters", details.map(each => each.parameters), value),
    details.some(each => Object.keys(each.files).length) ? part("Files", filesOf(details), (given, ...rest) => given === undefined ? value(given, ...rest) : digest(given)) : null,
    distributionPart(details, names), part("Artifacts", details.map(each => each.digests), (given, ...rest) => given ? digest(given) : value(undefined, ...rest)));
}
const copy = node => node.cloneNode(true);
// Whether a name belongs to a task that has not finished in a run: nobody knows what it would have had.
const unfinished = (detail, key) => detail.tasks.some(task => !task.execution && (key.startsWith(`${task.name}.`) || key.startsWith(`${task.name}/`)));

// Which way a metric is better: as the evaluation of a run says, else by its name, else nobody knows.
function wayOf(details, key) {
  const ends = name => name === key || name.endsWith(`.${key}`);
  const [told, guessed] = [details.flatMap(each => each.told.filter(ends).map(name => each.better[name])), details.flatMap(each => Object.keys(each.better).filter(ends).map(name => each.better[name]))];
  return { way: told[0] ?? guessed[0], told: told.length > 0 };
}
function wayMark(details, key) {
  const { way, told } = wayOf(details, key);
  if (way === 0) return null;
  const why = way ? `${way > 0 ? "higher" : "lower"} is better${told ? ", as its evaluation says" : ", by its name"}` : "which way is better is unknown";
  return h("span", { class: "way", title: why }, way > 0 ? "↑" : way < 0 ? "↓" : "?", h("span", { class: "spoken" }, ` ${why}`));
}

// Files that a run may still read are unlike nothing.
const filesOf = details => {
  const open = details.some(each => each.tasks.some(task => !task.execution));
  const all = details.map(each => each.files);
  return open ? all.map(files => Object.fromEntries(Object.entries(files).filter(([name]) => all.every(each => name in each)))) : all;
};

function slicePart(details, names, heads) {
  const sets = details.map(each => Object.entries(each.evaluations).reduce((found, [task, made], place) => ({ ...found, ...Object.fromEntries(Object.entries(made.slices || {}).map(([slice, metrics]) => [Object.keys(each.evaluations).length > 1 ? `${task}: ${slice}` : slice, metrics])) }), {}));
  const slices = [...new Set(sets.flatMap(each => Object.keys(each)))].sort((a, b) => (b === "overall") - (a === "overall") || a.localeCompare(b, "en", { numeric: true }));
  const metrics = ranked([...new Set(sets.flatMap(each => Object.values(each).flatMap(Object.keys)))]);
  if (!slices.length || !metrics.length) return null;
  const place = h("div");
  const draw = metric => {
    const counts = sets.map(each => slices.map(slice => each[slice]?.example_count));
    place.replaceChildren(plainTable(`${metric} by slice`, ["slice", ...heads.map(copy), ...(names.length === 2 ? ["difference"] : []), "examples"], slices.filter(slice => sets.some(each => each[slice] && metric in each[slice])).map(slice => {
      const values = sets.map(each => each[slice]?.[metric]);
      const known = values.filter(each => each !== undefined);
      const line = [slice, ...values.map(each => each === undefined ? none("not measured") : number(each))];
      if (names.length === 2) line.push(known.length === 2 ? `${values[1] > values[0] ? "+" : ""}${number(values[1] - values[0])}` : none("unknown"));
      const count = [...new Set(counts.map(each => each[slices.indexOf(slice)]).filter(each => each !== undefined))];
      line.push(count.length ? count.map(number).join(" / ") : unknown());
      line.differs = new Set(known).size > 1;
      return line;
    }), { numbers: [...names.map((_, at) => at + 1), names.length + 1, names.length + 2] }));
  };
  draw(metrics[0]);
  return section("Slices", h("div", { class: "filters" }, h("label", {}, "Metric", h("select", { onchange: event => draw(event.target.value) }, options(metrics, metrics[0])))), place);
}

function distributionPart(details, names) {
  const sets = [...new Set(details.flatMap(each => Object.keys(each.distributions)))];
  if (!sets.length) return null;
  const place = h("div", { class: "figures" });
  const draw = set => {
    const features = [...new Set(details.flatMap(each => Object.keys(each.distributions[set] || {})))];
    const figures = features.map(name => [name, details.map(each => each.distributions[set]?.[name])]);
    const differs = ([, each]) => new Set(each.filter(Boolean).map(one => JSON.stringify(one))).size > 1;
    const [unlike, alike] = [figures.filter(differs), figures.filter(each => !differs(each))];
    place.replaceChildren(h("p", { class: "muted" }, unlike.length ? `${unlike.length} of ${figures.length} features differ; they come first.` : `All ${figures.length} features are distributed alike.`), ...[...unlike, ...alike].slice(0, 60).map(([name, each]) => distribution(name, each, names)), ...(figures.length > 60 ? [h("p", { class: "muted" }, `${figures.length - 60} more are not drawn.`)] : []));
  };
  const holder = h("details", { class: "plain", open: true }, h("summary", {}, "Features"), place);
  draw(sets[0]);
  return section("Distributions of the data", h("div", { class: "filters" }, h("label", {}, "Data", h("select", { onchange: event => draw(event.target.value) }, options(sets, sets[0])))), holder);
}

const BINS = 24;
function distribution(name, features, names) {
  const missing = features.map((each, place) => each ? `${names[place]}: ${each.missing === undefined || each.missing === null ? "unknown" : number(100 * each.missing)} % missing` : "").filter(Boolean);
  const numeric = features.filter(each => each?.edges?.length);
  let figure;
  if (numeric.length) {
    const low = Math.min(...numeric.map(each => each.edges[0])), high = Math.max(...numeric.map(each => each.edges.at(-1)));
    const width = (high - low) / BINS || 1;
    figure = chart({ title: name, width: 420, height: 190, y: { name: "share", low: 0 }, series: features.map((each, place) => ({ name: names[place], line: true, points: each?.edges?.length ? Array.from({ length: BINS }, (_, bin) => [low + bin * width, low + (bin + 1) * width]).flatMap(([from, to]) => { const y = upTo(each, to) - upTo(each, from, true); return [{ x: from, y }, { x: to, y }]; }) : [] })) });
  } else if (features.some(each => each?.top?.length)) {
    const values = [...new Set(features.flatMap(each => (each?.top || []).map(([text]) => text)))].slice(0, 10);
    figure = bars({ title: name, names: values, series: features.map((each, place) => ({ name: names[place], values: values.map(text => each?.top?.find(one => one[0] === text)?.[1] ?? null) })) });
  } else figure = h("figure", {}, h("figcaption", {}, name), h("p", { class: "muted" }, "no distribution is known"));
  const told = new Set(missing.map(each => each.slice(each.lastIndexOf(": ") + 2)));
  figure.append(h("small", { class: "muted" }, told.size === 1 ? [...told][0] : missing.join(", ")));
  return figure;
}

// The share of values up to a point, between the knots of the distribution function; `below` leaves the point itself out.
function upTo({ edges, cumulative }, at, below = false) {
  if (at < edges[0] || (below && at <= edges[0])) return 0;
  if (at >= edges.at(-1)) return 1;
  const place = edges.findIndex(each => each > at);
  const [x0, x1, y0, y1] = [edges[place - 1], edges[place], cumulative[place - 1], cumulative[place]];
  return y0 + (y1 - y0) * (at - x0) / (x1 - x0);
}
