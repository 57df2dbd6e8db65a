// Plain differences between two runs, edge by edge: numbers to look at, not claims.
// first: run = first run compared | id, start of an id, or name of a run, or a variant
// second: run = second run compared | id, start of an id, or name of a run, or a variant
// limit: int = 50 | most rows
MATCH (s:Component)-[x:CORRELATES|AFFECTS]->(t:Component)
WHERE x.run = $first
MATCH (s)-[y:CORRELATES|AFFECTS]->(t)
WHERE y.run = $second AND coalesce(x.input, '') = coalesce(y.input, '')
// Of a screened run the screen's number, everywhere: never exact against screened.
WITH s.name AS source, t.name AS target, x.input AS input, x.key AS key,
     coalesce(x.screen, x.weight) AS weight_first, coalesce(y.screen, y.weight) AS weight_second
WITH source, target, input, weight_first, weight_second, key,
     weight_second - weight_first AS difference
WITH source, target, input, weight_first, weight_second, difference, key,
     abs(coalesce(difference, 0.0)) AS size
ORDER BY size DESC, key
LIMIT $limit
RETURN source, target, input, weight_first, weight_second, difference
ORDER BY size DESC, source, target, key
LIMIT $limit
