"use strict";
// What decisions come to at thresholds that a person moves, of counts that are in the page; what is told is set as text.
for (const place of document.querySelectorAll("[data-adjustable]")) {
  const { at, groups, chosen } = JSON.parse(place.dataset.adjustable);
  const rates = {
    "accepted share": each => [each.right + each.wrong, each.rows],
    precision: each => [each.right, each.right + each.wrong],
    recall: each => [each.right, each.labelled],
    "false positive rate": each => [each.wrong, each.rows - each.labelled],
    accuracy: each => [each.right + each.rows - each.labelled - each.wrong, each.rows],
  };
  const add = (parent, name, said = "", attributes = {}) => {
    const made = document.createElement(name);
    made.textContent = said;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return parent.appendChild(made);
  };
  const percent = value => (value === null ? "–" : `${(100 * value).toFixed(1)} %`);
  const share = ([some, all]) => (all ? some / all : null);
  const told = step => (at[step] === null ? "none" : at[step].toFixed(2));

  place.replaceChildren();
  const buttons = add(place, "p");
  const table = add(place, "table");
  const head = add(add(table, "thead"), "tr");
  for (const title of ["group", "rows", "threshold", ...Object.keys(rates)]) add(head, "th", title);
  const body = add(table, "tbody");

  const line = (name, rows, slider) => {
    const row = add(body, "tr");
    add(row, "td", name);
    add(row, "td", rows);
    const cell = add(row, "td");
    cell.style.whiteSpace = "nowrap";
    const range = slider && add(cell, "input", "", { type: "range", min: 0, max: at.length - 1, "aria-label": `threshold of ${name}` });
    if (range) range.style.cssText = "width: 150px; vertical-align: middle; margin-right: 8px";
    return { range, told: add(cell, "span"), cells: Object.keys(rates).map(() => add(row, "td")) };
  };
  const fill = (cells, values) => values.forEach((value, column) => {
    cells[column].textContent = percent(value);
    cells[column].style.background = `linear-gradient(to right, var(--cached-ground) ${100 * (value ?? 0)}%, transparent 0)`;
  });

  const all = line("all of these", groups.reduce((sum, each) => sum + each.rows, 0).toLocaleString("en"), true);
  const lines = groups.map(each => line(each.name || "(missing)", each.rows.toLocaleString("en"), true));
  const gap = line("largest gap between groups", "", false);
  const steps = groups.map(() => 0);

  const show = () => {
    const decided = groups.map((each, group) => ({ ...each, right: each.right[steps[group]], wrong: each.wrong[steps[group]] }));
    const total = { rows: 0, labelled: 0, right: 0, wrong: 0 };
    for (const each of decided) for (const key of Object.keys(total)) total[key] += each[key];
    const values = decided.map(each => Object.values(rates).map(rate => share(rate(each))));
    lines.forEach((each, group) => {
      each.range.value = steps[group];
      each.told.textContent = told(steps[group]);
      fill(each.cells, values[group]);
    });
    const alike = steps.every(step => step === steps[0]);
    if (alike) all.range.value = steps[0];
    all.told.textContent = alike ? told(steps[0]) : "differ";
    fill(all.cells, Object.values(rates).map(rate => share(rate(total))));
    fill(gap.cells, Object.keys(rates).map((_, column) => {
      const known = values.map(each => each[column]);
      return known.includes(null) ? null : Math.max(...known) - Math.min(...known);
    }));
  };
  const move = wanted => { groups.forEach((_, group) => { steps[group] = wanted(group); }); show(); };
  all.range.addEventListener("input", () => move(() => Number(all.range.value)));
  lines.forEach((each, group) => each.range.addEventListener("input", () => { steps[group] = Number(each.range.value); show(); }));
  for (const [goal, places] of Object.entries(chosen)) {
    const button = add(buttons, "button", goal, { type: "button" });
    button.style.marginRight = "6px";
    button.addEventListener("click", () => move(group => places[group]));
  }
  move(group => Object.values(chosen)[0][group]);
}
