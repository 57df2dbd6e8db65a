// Puts the page together: which diff, which filter, which edge.
const VIEWS = {
  circuit: ["The circuit", circuitOption],
  heat: ["Senders × receivers", heatOption],
  volcano: ["Change and evidence", volcanoOption],
  hubs: ["Where change gathers", hubsOption],
  flow: ["From layers to layers", flowOption],
  layers: ["Strength by layer", layersOption],
  trajectories: ["Decision by layer", trajectoriesOption],
  scenarios: ["Claims by scenario", scenariosOption],
};
const FOLLOW = ["circuit", "heat", "volcano", "hubs", "scenarios"];

function boxes(id, names, ticks) {
  const holder = byId(id);
  holder.querySelectorAll("label").forEach((old) => old.remove());
  for (const name of names) {
    const box = make("input", null, { type: "checkbox", value: name });
    box.checked = box.defaultChecked = ticks.includes(name);
    const holderOfBox = make("label");
    holderOfBox.append(box, ` ${words(name)}`);
    holder.append(holderOfBox);
  }
  holder.hidden = names.length === 0;
}

function open(number) {
  Object.assign(state, { number, diff: DATA.diffs[number], chosen: null });
  Object.assign(sorting, { column: null, rows: PAGE });
  document.querySelectorAll("section.answer").forEach((part, i) => { part.hidden = i !== number; });
  document.querySelectorAll("section.source").forEach((part, i) => { part.hidden = i !== number; });
  document.querySelectorAll(".tabs button").forEach((tab, i) => tab.setAttribute("aria-selected", String(i === number)));
  const { edges, verdicts, mechanisms, claims } = state.diff;
  const present = verdicts.filter((_, i) => edges.verdict.includes(i));
  boxes("verdicts", present, claims ? present.filter((name) => CLAIMS.includes(name)) : present);
  boxes("mechanisms", mechanisms.filter((name, i) => name && edges.mechanism.includes(i)), []);
  byId("filters").reset(); // its listener applies the filter
}

function redraw() {
  Object.keys(VIEWS).forEach(draw);
  const few = state.diff.edges.source.length;
  const kept = few < state.diff.total ? ` This page holds ${few} of ${state.diff.total} edges: claims first, then the largest changes.` : "";
  byId("shown").textContent = `${state.shown.length} of ${state.diff.total} edges are shown, ${state.shown.filter(isClaim).length} of ${state.diff.claims} claims.${kept}`;
  sorting.rows = PAGE;
  drawTable();
  drawPinned();
}

function follow() {
  FOLLOW.forEach(mark);
  markRow();
  drawPinned();
}

function modeButtons() {
  const holder = figures.circuit.frame.querySelector(".row span");
  for (const [mode, said] of [["beside", "Both beside each other"], ["difference", "Difference"]]) {
    const button = make("button", said, { type: "button", "data-mode": mode, "aria-pressed": String(mode === state.mode) });
    button.addEventListener("click", () => {
      state.mode = mode;
      holder.querySelectorAll("[data-mode]").forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.mode === mode)));
      draw("circuit");
    });
    holder.prepend(button);
  }
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  if (state.diff) Object.keys(VIEWS).forEach(draw);
}

function copy(event) {
  const text = byId(event.target.dataset.copy).textContent;
  const done = () => { event.target.textContent = "Copied"; };
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, () => selectText(event.target.dataset.copy));
  else selectText(event.target.dataset.copy);
}

function selectText(id) {
  getSelection().selectAllChildren(byId(id));
}

function start() {
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  byId("explore").hidden = DATA.diffs.length === 0;
  if (DATA.diffs.length === 0) return;
  for (const [id, [title, option]] of Object.entries(VIEWS)) figure(id, title, option);
  modeButtons();
  listeners.shown.push(redraw);
  listeners.chosen.push(follow);
  let waiting = 0;
  byId("filters").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(applyFilter, 120); });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(applyFilter));
  byId("csv").addEventListener("click", saveTable);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && state.chosen !== null) choose(state.chosen); });
  document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", copy));
  document.querySelectorAll(".tabs button").forEach((tab) => tab.addEventListener("click", () => open(Number(tab.dataset.section))));
  open(0);
}

start();
