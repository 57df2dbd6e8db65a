// Everything known of the chosen edge: numbers, why, scenarios, prompts.
const CLOSER = { low_a: "A from", high_a: "A to", low_b: "B from", high_b: "B to", cancellation: "agreement over prompts", wording: "left without the worst wording", block: "block", signal: "by the signal", edge: "by the edge", downstream: "by what follows", gain: "by the gain", read: "read side", write: "write side", times_median: "times the receiver's median", cosine: "cosine", screen_a: "screen A", screen_b: "screen B" };

function fact(table, name, value) {
  const line = make("tr");
  line.append(make("th", name, { class: "text", scope: "row" }), make("td", value));
  table.append(line);
}

function drawPinned() {
  const panel = byId("pinned");
  if (state.chosen === null) {
    panel.replaceChildren(make("h3", "No edge is chosen"), make("p", "Click an edge in any drawing or in the table; Escape lets it go."), legend());
    return;
  }
  const one = edge(state.chosen);
  const { heads, details, examples } = state.diff;
  const table = make("table");
  fact(table, "verdict", words(one.verdict) + (one.reason ? ` (${one.reason})` : ""));
  if (one.mechanism) fact(table, "mechanism", one.mechanism);
  fact(table, heads.weight_a, number(one.weight_a, 4));
  fact(table, heads.weight_b, number(one.weight_b, 4));
  fact(table, heads.delta, `${number(one.delta, 4)} (95% ${number(one.low, 4)} to ${number(one.high, 4)})`);
  fact(table, "p, q", `${number(one.p)}, ${number(one.q)}`);
  const more = details[state.chosen] || {};
  for (const [name, said] of Object.entries(CLOSER)) {
    if (more[name] !== undefined && more[name] !== null) fact(table, said, number(more[name]));
  }
  panel.replaceChildren(make("h3", label(one)), table, ...prompts(examples, examples.by_edge[state.chosen] || []));
}

function prompts(examples, chosen) {
  if (!chosen.length) return isClaim(state.chosen) ? [make("p", "Example prompts stand with the 200 strongest claims.")] : [];
  const said = ["changes most on", "a prompt in the middle", "changes least on"];
  const parts = [make("h3", "Example prompts")];
  chosen.forEach(([at, ...values], place) => {
    const prompt = examples.prompts[at];
    const numbers = examples.columns.map((name, i) => `${name} ${number(values[i])}`).join(", ");
    const holder = make("details");
    holder.append(make("summary", `${said[place]}: ${short(prompt.id)} (${short(prompt.scenario)}), ${numbers}`));
    if (prompt.prompt) holder.append(make("p", prompt.prompt, { class: "prompt" }));
    if (prompt.corrupt) holder.append(make("p", `corrupt: ${prompt.corrupt}`, { class: "prompt" }));
    parts.push(holder);
  });
  return parts;
}

function legend() {
  const list = make("ul");
  for (const name of CLAIMS) {
    const item = make("li", words(name));
    const swatch = make("span", null, { class: "swatch" });
    swatch.style.background = colour(name);
    item.prepend(swatch);
    list.append(item);
  }
  return list;
}
