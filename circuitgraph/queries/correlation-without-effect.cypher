// Edges that a correlation diff claims and the effect diff of the same two does not.
// correlation: diff = newest correlation diff | id, start of an id, or name of a diff
// effect: diff = newest effect diff | id, start of an id, or name of a diff
// limit: int = 100 | most rows
MATCH (c:Diff {id: $correlation})
MATCH (d:Diff {id: $effect})-[x:COMPARES]->(r:Run)
WHERE c.a = d.a AND c.b = d.b
MATCH (s:Component)-[e:REWIRED]->(t:Component)
WHERE e.diff = $correlation
  AND NOT EXISTS { MATCH (s)-[f:REWIRED]->(t) WHERE f.diff = $effect }
MATCH (s)-[g:AFFECTS]->(t)
WHERE g.run = r.id
WITH s.name AS source, t.name AS target, e.verdict AS verdict, e.delta AS delta, e.q AS q,
     e.key AS key, max(CASE WHEN x.side = 'a' THEN abs(coalesce(g.screen, g.weight)) END) AS effect_a,
     max(CASE WHEN x.side = 'b' THEN abs(coalesce(g.screen, g.weight)) END) AS effect_b,
     abs(e.delta) AS size, e.a AS a, e.b AS b
RETURN source, target, verdict, delta, q, effect_a, effect_b, a, b
ORDER BY size DESC, source, target, key
LIMIT $limit
