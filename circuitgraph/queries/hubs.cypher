// The components of a run with the most strength: positive and negative weights apart.
// run: run = newest run | id, start of an id, or name of a run, or a variant
// limit: int = 25 | most rows
MATCH (r:Run {id: $run})
MATCH (c:Component)-[e:CORRELATES|AFFECTS]-(o:Component)
WHERE e.run = $run
WITH r.variant AS variant, r.kind AS kind, c.name AS component, c.id AS id, count(e) AS edges,
     sum(CASE WHEN coalesce(e.screen, e.weight) > 0.0
         THEN coalesce(e.screen, e.weight) ELSE 0.0 END) AS positive,
     sum(CASE WHEN coalesce(e.screen, e.weight) < 0.0
         THEN coalesce(e.screen, e.weight) ELSE 0.0 END) AS negative
WITH variant, kind, component, id, edges, positive, negative, positive - negative AS strength
RETURN component, strength, positive, negative, edges, kind, variant
ORDER BY round(strength, 9) DESC, component, id
LIMIT $limit
