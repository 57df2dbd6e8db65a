// The choice of a pair and the Cypher box of `circuitgraph explore`.
async function ask(event) {
  event.preventDefault();
  byId("answered").textContent = "…";
  byId("answer").replaceChildren();
  const headers = { "Content-Type": "application/json", "X-Token": DATA.explorer.token };
  const body = JSON.stringify({ text: byId("statement").value });
  const found = await (await fetch("/cypher", { method: "POST", headers, body })).json();
  if (found.error) {
    byId("answered").textContent = found.error;
    return;
  }
  byId("answered").textContent = `${found.rows.length} of ${found.total} rows`;
  const table = make("table");
  const head = make("tr");
  for (const name of found.columns) head.append(make("th", name, { scope: "col", class: "text" }));
  table.append(head);
  for (const values of found.rows) {
    const line = make("tr");
    for (const value of values) line.append(make("td", typeof value === "object" && value !== null ? JSON.stringify(value) : value === null ? "" : String(value), { class: "text" }));
    table.append(line);
  }
  byId("answer").replaceChildren(table);
}

byId("cypher").querySelector("form").addEventListener("submit", ask);

// A recipe is compared at recipe scope; a variant may be, as a fixed reference.
const pair = byId("pair");
pair.addEventListener("change", (event) => {
  const chosen = event.target.selectedOptions?.[0];
  if (chosen?.dataset.scope === "recipe") pair.elements.scope.value = "recipe";
});
