// The Cypher box of `circuitgraph explore`.
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
