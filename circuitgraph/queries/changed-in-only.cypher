// Components whose in-edges a diff claims to have changed, and none of whose out-edges.
// diff: diff = newest diff | id, start of an id, or name of a diff
// run: run = second run compared | where their out-edges are counted; those without are left out
// limit: int = 100 | most rows
MATCH (o:Component)-[e:REWIRED]->(c:Component)
WHERE e.diff = $diff
WITH c, count(e) AS changed_in, sum(abs(e.delta)) AS change, max(abs(e.delta)) AS largest
WHERE NOT EXISTS { MATCH (c)-[f:REWIRED]->(p:Component) WHERE f.diff = $diff }
MATCH (c)-[g:CORRELATES|AFFECTS]->(p:Component)
WHERE g.run = $run
WITH c.name AS component, c.layer AS layer, c.id AS id, changed_in, change, largest,
     count(g) AS out_edges
RETURN component, layer, changed_in, change, largest, out_edges
ORDER BY changed_in DESC, round(change, 9) DESC, component, id
LIMIT $limit
