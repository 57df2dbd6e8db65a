// Components whose direct attribution a diff claims to have changed, and none of whose edges.
// attribution: diff = newest attribution diff | id, start of an id, or name of a diff of nodes
// edges: diff = newest effect diff | of the same two; id, start of an id, or name of a diff
// limit: int = 100 | most rows
MATCH (d:Diff {id: $attribution})
MATCH (f:Diff {id: $edges})
WHERE d.a = f.a AND d.b = f.b
MATCH (d)-[e:CHANGED]->(c:Component)
WHERE e.measure = 'attribution'
  AND NOT EXISTS { MATCH (c)-[r:REWIRED]-(o:Component) WHERE r.diff = $edges }
WITH c.name AS component, c.layer AS layer, e.category AS category, e.value_a AS value_a,
     e.value_b AS value_b, e.change AS change, e.low AS low, e.high AS high, e.q AS q,
     e.verdict AS verdict, abs(e.change) AS size, d.a AS a, d.b AS b, e.key AS key
RETURN component, layer, category, value_a, value_b, change, low, high, q, verdict, a, b
ORDER BY size DESC, component, category, key
LIMIT $limit
