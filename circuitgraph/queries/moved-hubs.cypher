// Components whose share of all strength differs most between two runs: to look at, no claims.
// first: run = first run compared | id, start of an id, or name of a run, or a variant
// second: run = second run compared | id, start of an id, or name of a run, or a variant
// limit: int = 25 | most rows
MATCH (s:Component)-[e:CORRELATES|AFFECTS]->(t:Component)
WHERE e.run IN [$first, $second]
// Of a screened run the screen's number, everywhere: never exact against screened.
WITH sum(CASE WHEN e.run = $first THEN abs(coalesce(e.screen, e.weight)) ELSE 0.0 END) AS total_first,
     sum(CASE WHEN e.run = $second THEN abs(coalesce(e.screen, e.weight)) ELSE 0.0 END) AS total_second
WHERE total_first > 0.0 AND total_second > 0.0
MATCH (c:Component)-[e:CORRELATES|AFFECTS]-(o:Component)
WHERE e.run IN [$first, $second]
WITH c, total_first, total_second,
     sum(CASE WHEN e.run = $first THEN abs(coalesce(e.screen, e.weight)) ELSE 0.0 END) AS strength_first,
     sum(CASE WHEN e.run = $second THEN abs(coalesce(e.screen, e.weight)) ELSE 0.0 END) AS strength_second
WITH c.name AS component, c.layer AS layer, c.id AS id, strength_first, strength_second,
     strength_first / total_first AS share_first, strength_second / total_second AS share_second
WITH component, layer, id, strength_first, strength_second, share_first, share_second,
     share_second - share_first AS moved
RETURN component, layer, strength_first, strength_second, share_first, share_second, moved
ORDER BY round(abs(moved), 9) DESC, component, id
LIMIT $limit
