// Edges on which a correlation run and an effect run disagree: one sees it, the other does not.
// correlation: run = newest correlation run | id, start of an id, or name of a run, or a variant
// effect: run = newest effect run | id, start of an id, or name of a run, or a variant
// alpha: float = 0.05 | an edge is seen where its q is at most this
// limit: int = 50 | most rows
MATCH (s:Component)-[c:CORRELATES]->(t:Component)
WHERE c.run = $correlation
MATCH (s)-[e:AFFECTS]->(t)
WHERE e.run = $effect
WITH s.name AS source, t.name AS target, e.input AS input, c.weight AS correlation,
     c.q AS correlation_q, e.weight AS effect, e.q AS effect_q, e.key AS key,
     abs(coalesce(e.weight, 0.0)) AS size,
     CASE WHEN c.q <= $alpha AND e.q > $alpha THEN 'correlation only'
          WHEN c.q > $alpha AND e.q <= $alpha THEN 'effect only' ELSE '' END AS seen_by,
     c.variant AS correlation_of, e.variant AS effect_of
WHERE seen_by <> ''
RETURN source, target, input, seen_by, correlation, correlation_q, effect, effect_q,
       correlation_of, effect_of
ORDER BY seen_by DESC, size DESC, source, target, key
LIMIT $limit
