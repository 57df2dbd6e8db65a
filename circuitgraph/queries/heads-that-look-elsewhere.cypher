// Heads that look at other tokens in one variant than in another, by category of tokens.
// diff: diff = newest attention diff | id, start of an id, or name of a diff of nodes
// category: string = '' | one category; '' for all but those weighted by value
// limit: int = 100 | most rows
MATCH (d:Diff {id: $diff})-[e:CHANGED]->(c:Component)
WHERE e.measure = 'attention' AND (e.category = $category
   OR ($category = '' AND NOT e.category ENDS WITH ' by value'))
WITH c.name AS component, c.layer AS layer, c.head AS head, e.category AS category,
     e.value_a AS value_a, e.value_b AS value_b, e.change AS change, e.low AS low,
     e.high AS high, e.q AS q, e.verdict AS verdict, abs(e.change) AS size, d.a AS a,
     d.b AS b, e.key AS key
RETURN component, layer, head, category, value_a, value_b, change, low, high, q, verdict, a, b
ORDER BY size DESC, component, category, key
LIMIT $limit
