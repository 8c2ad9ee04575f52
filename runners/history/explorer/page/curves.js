// What evaluations of models left to draw, over each other: of several runs, or of several models of one.
"use strict";
const share = name => ({ name, low: 0, high: 1 });
const CURVES = [
  { kind: "roc", title: "ROC curves", x: share("false positive rate"), y: share("recall"), diagonal: "an answer by chance" },
  { kind: "precision_recall", title: "Precision and recall", x: share("recall"), y: share("precision") },
  { kind: "calibration", title: "Calibration", x: { name: "mean prediction" }, y: { name: "mean label" }, diagonal: "predictions that come true", dots: true },
  { kind: "predictions", title: "Distribution of the predictions", x: { name: "prediction" }, y: { name: "share of the examples", low: 0 }, bins: true },
  { kind: "residuals", title: "Distribution of the residuals", x: { name: "prediction less label" }, y: { name: "share of the examples", low: 0 }, bins: true },
];

// Equal bins, each from its lower end, as an outline.
function outline(bins) {
  const width = bins.length > 1 ? bins[1][0] - bins[0][0] : 1;
  return bins.flatMap(([from, y]) => [{ x: from, y }, { x: from + width, y }]);
}

function curvePart(details, names) {
  // Runs keep their colours, whichever of them has a curve.
  const evaluations = details.flatMap((detail, place) => {
    const own = Object.entries(detail.evaluations);
    return own.length ? own.map(([task, made]) => [own.length === 1 ? names[place] : details.length === 1 ? task : `${names[place]}, ${task}`, made]) : [[names[place], {}]];
  });
  const charts = CURVES.filter(({ kind }) => evaluations.some(([, made]) => made[kind])).map(({ kind, title, x, y, diagonal, dots, bins }) => {
    const series = evaluations.map(([name, made]) => ({ name, line: true, dots, points: !made[kind] ? [] : bins ? outline(made[kind]) : made[kind].map(([x, y]) => ({ x, y, title: `${name}: ${number(x)}, ${number(y)}` })) }));
    const all = series.flatMap(each => each.points).flatMap(point => [point.x, point.y]);
    // Probabilities and what came of them from 0 to 1; other answers as far as they reach.
    const range = diagonal ? { low: Math.min(0, ...all), high: Math.max(1, ...all) } : {};
    return chart({ title: evaluations.length > 1 ? `${title} over each other` : title, series, width: 420, height: bins ? 300 : 380, square: true, x: { ...range, ...x }, y: { ...range, ...y }, diagonal });
  });
  return charts.length ? section("Curves", h("div", { class: "figures" }, charts)) : null;
}
