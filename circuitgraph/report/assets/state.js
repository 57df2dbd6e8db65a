"use strict";
// What is shown: one diff, a filter over its edges, and at most one chosen edge.
const DATA = JSON.parse(document.getElementById("data").textContent);
const CLAIMS = ["rewired", "sign_flip", "gained", "lost"];
const OTHER = "#999999";
const state = { number: 0, diff: null, shown: [], chosen: null, mode: "difference" };
const listeners = { shown: [], chosen: [] };

const byId = (id) => document.getElementById(id);
const words = (name) => name.replace(/_/g, " ");

function make(tag, text, attributes) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  return element;
}

// Text that a chart's tooltip takes as HTML.
function escaped(text) {
  const holder = make("span", String(text));
  return holder.innerHTML;
}

function short(name, most = 40) {
  return name.length <= most ? name : name.slice(0, most - 1) + "…";
}

function number(value, digits = 3) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(1) : value.toFixed(digits);
}

// One edge as an object; its index is its identity on the page.
function edge(i) {
  const { edges, nodes, inputs, verdicts, mechanisms } = state.diff;
  return {
    i,
    source: nodes.name[edges.source[i]],
    target: nodes.name[edges.target[i]],
    input: inputs[edges.input[i]],
    weight_a: edges.weight_a[i],
    weight_b: edges.weight_b[i],
    delta: edges.delta[i],
    low: edges.low[i],
    high: edges.high[i],
    p: edges.p[i],
    q: edges.q[i],
    verdict: verdicts[edges.verdict[i]],
    mechanism: mechanisms[edges.mechanism[i]],
    reason: edges.reason[i],
  };
}

function label(one) {
  const arrow = state.diff.directed ? " → " : " — ";
  const input = ["", "all", "in"].includes(one.input) ? "" : ` (${one.input})`;
  return short(one.source) + arrow + short(one.target) + input;
}

function colour(verdict) {
  return DATA.colours[verdict] || OTHER;
}

function isClaim(i) {
  return CLAIMS.includes(state.diff.verdicts[state.diff.edges.verdict[i]]);
}

function ticked(id) {
  return new Set([...byId(id).querySelectorAll("input:checked")].map((box) => box.value));
}

function bound(id) {
  const text = byId(id).value.trim();
  return text === "" || Number.isNaN(Number(text)) ? null : Number(text);
}

// Both ends within the layers asked for; components without a layer are in every range.
function inLayers(i, from, to) {
  const { edges, nodes } = state.diff;
  return [edges.source[i], edges.target[i]].every((end) => {
    const layer = nodes.layer[end];
    return layer === null || ((from === null || layer >= from) && (to === null || layer <= to));
  });
}

function applyFilter() {
  const { edges, verdicts, mechanisms, nodes } = state.diff;
  const [kinds, why] = [ticked("verdicts"), ticked("mechanisms")];
  const [from, to, least, most] = ["from", "to", "least", "most"].map(bound);
  const wanted = byId("search").value.trim().toLowerCase();
  const named = (i) =>
    [edges.source[i], edges.target[i]].some((end) => nodes.name[end].toLowerCase() === wanted) ||
    label(edge(i)).toLowerCase().includes(wanted);
  state.shown = [];
  for (let i = 0; i < edges.source.length; i++) {
    if (!kinds.has(verdicts[edges.verdict[i]])) continue;
    if (why.size && isClaim(i) && !why.has(mechanisms[edges.mechanism[i]])) continue;
    if (least !== null && !(Math.abs(edges.delta[i]) >= least)) continue;
    if (most !== null && !(edges.q[i] !== null && edges.q[i] <= most)) continue;
    if (!inLayers(i, from, to)) continue;
    if (wanted && !named(i)) continue;
    state.shown.push(i);
  }
  state.shown.sort((x, y) => Math.abs(edges.delta[y]) - Math.abs(edges.delta[x]) || x - y);
  listeners.shown.forEach((tell) => tell());
}

function choose(i) {
  state.chosen = i === state.chosen ? null : i;
  listeners.chosen.forEach((tell) => tell());
}
