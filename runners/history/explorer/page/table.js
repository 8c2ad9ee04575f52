// A table that sorts by a click or Enter on a column's name; up and down go from row to row.
"use strict";

const FIRST = 100;

// columns: {name, value(row): what it is sorted by, null where unknown; cell(row): what is shown; number}.
function sortable({ caption, columns, rows, sort = 0, descending = false, key = row => row }) {
  const body = h("tbody", { onkeydown: alongRows });
  const heads = columns.map((column, place) => {
    const named = typeof column.name === "string" ? column.name : "";
    const inside = column.value ? h("button", { type: "button", onclick: () => by(place, state.place === place ? !state.descending : !!column.number) }, named, h("i", { "aria-hidden": "true" })) : column.name;
    return h("th", { scope: "col", class: column.number ? "number" : null }, inside);
  });
  const state = { place: sort, descending, rows };
  const made = new Map();

  function line(row) {
    const known = made.get(key(row));
    if (known) return known;
    const cells = columns.map((column, place) => h(place === (columns.rowHead || 0) ? "th" : "td", { scope: place === (columns.rowHead || 0) ? "row" : null, class: column.number ? "number" : null }, column.cell ? column.cell(row) : number(column.value(row)) || none("unknown")));
    const found = h("tr", {}, cells);
    made.set(key(row), found);
    return found;
  }
  function draw() {
    const { value } = columns[state.place];
    const way = state.descending ? -1 : 1;
    const ordered = value ? [...state.rows].sort((one, other) => way * compared(value(one), value(other), way)) : state.rows;
    const turn = state.turn = {};
    // What the window shows comes first, the rest while nobody waits.
    body.replaceChildren(...ordered.slice(0, FIRST).map(line));
    const more = from => { if (state.turn === turn && from < ordered.length) { body.append(...ordered.slice(from, from + FIRST).map(line)); setTimeout(more, 0, from + FIRST); } };
    setTimeout(more, 0, FIRST);
    heads.forEach((head, place) => { if (columns[place].value) head.setAttribute("aria-sort", place !== state.place ? "none" : state.descending ? "descending" : "ascending"); });
  }
  function by(place, down) {
    Object.assign(state, { place, descending: down });
    draw();
    say(`sorted by ${columns[place].name}, ${down ? "descending" : "ascending"}`);
  }
  draw();
  const element = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", { class: "list" }, h("caption", { class: "spoken" }, caption), h("thead", {}, h("tr", {}, heads)), body));
  return { element, show: shown => { state.rows = shown; draw(); }, state };
}

// Unknown values come last, whichever way is sorted.
function compared(one, other, way) {
  const [first, second] = [one, other].map(each => each === null || each === undefined || each === "" || Number.isNaN(each));
  if (first || second) return way * (first - second);
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

function alongRows(event) {
  const way = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const row = event.target.closest("tr");
  if (!way || !row || event.target.tagName === "SELECT") return;
  const reachable = each => [...each.querySelectorAll("a, button, input")];
  const place = reachable(row).indexOf(event.target);
  const next = row[way] && reachable(row[way]);
  if (next && next.length) { event.preventDefault(); next[Math.min(Math.max(place, 0), next.length - 1)].focus(); }
}

// A plain table: the first cell of each row is its head.
function plainTable(caption, heads, rows, { numbers = [] } = {}) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", { class: "list" }, h("caption", { class: "spoken" }, caption),
    h("thead", {}, h("tr", {}, heads.map((each, place) => h("th", { scope: "col", class: numbers.includes(place) ? "number" : null }, each)))),
    h("tbody", {}, rows.map(row => h("tr", { class: row.differs ? "differs" : null }, row.map((each, place) => h(place ? "td" : "th", { scope: place ? null : "row", class: numbers.includes(place) ? "number" : null }, each)))))));
}
