// Layers after which two variants' decisions differ by the logit lens, the first layer first.
// diff: diff = newest logit lens diff | id, start of an id, or name of a diff of nodes
// limit: int = 100 | most rows
MATCH (d:Diff {id: $diff})-[e:CHANGED]->(c:Component)
WHERE e.measure = 'logit-lens' AND e.category = ''
RETURN c.name AS component, c.layer AS layer, e.value_a AS value_a, e.value_b AS value_b,
       e.change AS change, e.low AS low, e.high AS high, e.q AS q, e.verdict AS verdict,
       d.a AS a, d.b AS b, e.key AS key
ORDER BY coalesce(layer, -1), component, key
LIMIT $limit
