// Draws the strongest edges of one run.
// run: run = newest run | id of a run
// limit: int = 40 | most edges
MATCH (s:Component)-[e:CORRELATES|AFFECTS]->(t:Component)
WHERE e.run = $run
RETURN s, e, t
ORDER BY abs(coalesce(e.weight, 0.0)) DESC, e.key
LIMIT $limit
