// Draws the edges of a diff whose weight changed its sign.
// diff: diff = newest diff | id of a diff
// limit: int = 100 | most edges, the largest change first
MATCH (s:Component)-[e:REWIRED]->(t:Component)
WHERE e.diff = $diff AND e.verdict = 'sign_flip'
RETURN s, e, t
ORDER BY abs(e.delta) DESC, e.key
LIMIT $limit
