// The table of edges: sorted by a click on a heading, chosen by a click on a row.
const PAGE = 100;
const sorting = { column: null, down: true, rows: PAGE };
const COLUMNS = ["edge", "input", "weight_a", "weight_b", "delta", "low", "high", "p", "q", "verdict", "mechanism", "reason"];
const TEXT = new Set(["edge", "input", "verdict", "mechanism", "reason"]);
const EXPLAINED = { q: "q", p: "p", verdict: "verdict", mechanism: "mechanism", low: "low", high: "low", weight_a: null };

function sorted() {
  const { column, down } = sorting;
  if (column === null) return state.shown;
  const value = (i) => (column === "edge" ? label(edge(i)) : edge(i)[column]);
  const keyed = state.shown.map((i) => [value(i), i]);
  keyed.sort(([x, i], [y, j]) => (x === null) - (y === null) || (x < y ? -1 : x > y ? 1 : i - j) * (down ? -1 : 1));
  return keyed.map(([, i]) => i);
}

function drawTable() {
  const order = sorted();
  const table = make("table", null, { "aria-rowcount": String(order.length) });
  const head = make("tr");
  for (const column of COLUMNS) head.append(heading(column));
  const body = make("tbody");
  for (const i of order.slice(0, sorting.rows)) body.append(row(i));
  const top = make("thead");
  top.append(head);
  table.append(top, body);
  byId("table").replaceChildren(table);
  const drawn = Math.min(sorting.rows, order.length);
  byId("rows").textContent = `${drawn} of ${order.length} edges that pass the filter, of ${state.diff.total} in all`;
  if (drawn < order.length) byId("table").append(more());
}

function more() {
  const button = make("button", `Show ${PAGE} more`, { type: "button" });
  button.addEventListener("click", () => { sorting.rows += PAGE; drawTable(); });
  return button;
}

function heading(column) {
  const cell = make("th", null, { class: TEXT.has(column) ? "text" : "", scope: "col" });
  if (sorting.column === column) cell.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
  const button = make("button", state.diff.heads[column] || words(column), { type: "button" });
  if (DATA.terms[EXPLAINED[column]]) button.title = DATA.terms[EXPLAINED[column]];
  button.addEventListener("click", () => {
    sorting.down = sorting.column === column ? !sorting.down : !TEXT.has(column);
    sorting.column = column;
    drawTable();
    byId("table").querySelectorAll("th button")[COLUMNS.indexOf(column)].focus();
  });
  cell.append(button);
  return cell;
}

function row(i) {
  const one = edge(i);
  const line = make("tr", null, { tabindex: "0", "data-edge": String(i), "aria-selected": String(i === state.chosen) });
  for (const column of COLUMNS) {
    const shown = column === "edge" ? label(one) : TEXT.has(column) ? words(one[column]) : number(one[column]);
    const cell = make("td", shown, { class: TEXT.has(column) ? "text" : "" });
    if (column === "verdict") {
      const swatch = make("span", null, { class: "swatch" });
      swatch.style.background = colour(one.verdict);
      cell.prepend(swatch);
    }
    line.append(cell);
  }
  line.addEventListener("click", () => choose(i));
  line.addEventListener("keydown", moveInTable);
  return line;
}

function moveInTable(event) {
  const line = event.currentTarget;
  const steps = { ArrowDown: line.nextElementSibling, ArrowUp: line.previousElementSibling };
  if (event.key === "Enter" || event.key === " ") choose(Number(line.dataset.edge));
  else if (steps[event.key]) steps[event.key].focus();
  else return;
  event.preventDefault();
}

function markRow() {
  for (const line of byId("table").querySelectorAll("tbody tr")) {
    line.setAttribute("aria-selected", String(Number(line.dataset.edge) === state.chosen));
  }
}

function quotedField(value) {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

function saveTable() {
  const columns = ["source", "target", ...COLUMNS.slice(1)];
  const lines = sorted().map((i) => columns.map((column) => quotedField(edge(i)[column])).join(","));
  save(fileName("edges", "csv"), [columns.join(","), ...lines].join("\r\n") + "\r\n", "text/csv");
}
