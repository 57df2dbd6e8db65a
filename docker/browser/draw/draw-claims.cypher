// Draws the claims of a diff: the components whose edges changed, and the edges.
// diff: diff = newest diff | id of a diff
// limit: int = 100 | most edges, the largest change first
MATCH (s:Component)-[e:REWIRED]->(t:Component)
WHERE e.diff = $diff
RETURN s, e, t
ORDER BY abs(e.delta) DESC, e.key
LIMIT $limit
