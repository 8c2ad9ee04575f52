// A table that sorts by a click or Enter on a column's name; up and down go from row to row.
"use strict";

const STEP = 60;
const order = new Intl.Collator("en", { numeric: true });

// columns: {name, value(row): what it is sorted by, null where unknown; cell(row): what is shown; number}; columns.rowHead: which of them names the row.
function sortable({ caption, columns, rows, sort = 0, descending = false, key = row => row }) {
  const rowHead = columns.rowHead || 0;
  const heads = columns.map((column, place) => {
    const named = typeof column.name === "string" ? column.name : "";
    const inside = column.value ? h("button", { type: "button", onclick: () => by(place, state.place === place ? !state.descending : !!column.number) }, named, h("i", { "aria-hidden": "true" })) : column.name;
    return h("th", { scope: "col", class: column.number ? "number" : null }, inside);
  });
  const state = { place: sort, descending, rows, ordered: [], drawn: 0 };
  const made = new Map();
  const told = h("span");
  const rest = h("p", { class: "muted rest" }, told, " ", h("button", { type: "button", class: "plain", onclick: () => more(state.ordered.length) }, "Draw all"));
  const body = h("tbody", { onkeydown: event => { if (event.key === "ArrowDown" && event.target.closest("tr") === body.lastElementChild) more(); alongRows(event); } });
  const end = h("div");
  const table = h("table", { class: "list" }, h("caption", { class: "spoken" }, caption), h("thead", {}, h("tr", {}, heads)), body);
  const near = new IntersectionObserver(seen => { if (seen.at(-1).isIntersecting) more(); }, { rootMargin: "0px 0px 1000px" });

  function line(row) {
    const known = made.get(key(row));
    if (known) return known;
    const cells = columns.map((column, place) => h(place === rowHead ? "th" : "td", { scope: place === rowHead ? "row" : null, class: column.number ? "number" : null }, column.cell ? column.cell(row) : number(column.value(row)) || none("unknown")));
    const found = h("tr", {}, cells);
    made.set(key(row), found);
    return found;
  }
  // What the window comes near to is drawn, the rest when it does.
  function more(count = STEP) {
    const { ordered, drawn } = state;
    state.drawn = Math.min(drawn + count, ordered.length);
    const added = ordered.slice(drawn, state.drawn).map(line);
    added.forEach((each, place) => each.setAttribute("aria-rowindex", drawn + place + 2));
    body.append(...added);
    table.setAttribute("aria-rowcount", ordered.length + 1);
    rest.hidden = state.drawn === ordered.length;
    told.textContent = `${grouped.format(state.drawn)} of ${grouped.format(ordered.length)} rows are drawn, more as you go down.`;
    near.unobserve(end);
    if (!rest.hidden) near.observe(end);
  }
  function draw() {
    const { value } = columns[state.place];
    const way = state.descending ? -1 : 1;
    state.ordered = value ? state.rows.map(row => [value(row), row]).sort(([one], [other]) => way * compared(one, other, way)).map(([, row]) => row) : state.rows;
    state.drawn = 0;
    body.replaceChildren();
    more();
    heads.forEach((head, place) => { if (columns[place].value) head.setAttribute("aria-sort", place !== state.place ? "none" : state.descending ? "descending" : "ascending"); });
  }
  function by(place, down) {
    Object.assign(state, { place, descending: down });
    draw();
    say(`sorted by ${columns[place].name}, ${down ? "descending" : "ascending"}`);
  }
  draw();
  const element = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, rest, table, end);
  return { element, show: shown => { state.rows = shown; draw(); }, state };
}

// Unknown values come last, whichever way is sorted.
function compared(one, other, way) {
  const [first, second] = [one, other].map(each => each === null || each === undefined || each === "" || Number.isNaN(each));
  if (first || second) return way * (first - second);
  if (typeof one === "number" && typeof other === "number") return one - other;
  return order.compare(String(one), String(other));
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
    h("thead", {}, h("tr", {}, heads.map((each, place) => h("th", { scope: "col", class: numbers.includes(place) ? "number" : null }, each || h("span", { class: "spoken" }, "name"))))),
    h("tbody", {}, rows.map(row => h("tr", { class: row.differs ? "differs" : null }, row.map((each, place) => h(place ? "td" : "th", { scope: place ? null : "row", class: numbers.includes(place) ? "number" : null }, each)))))));
}
