// Every edge of one component in two runs side by side; null where a run has no such edge.
// first: run = first run compared | id, start of an id, or name of a run, or a variant
// second: run = second run compared | id, start of an id, or name of a run, or a variant
// component: string = strongest component | name of a component
// limit: int = 200 | most rows
MATCH (s:Component)-[e:CORRELATES|AFFECTS]->(t:Component)
WHERE e.run IN [$first, $second] AND (s.name = $component OR t.name = $component)
WITH s, t, e.input AS input, min(e.key) AS key,
     // Of a screened run the screen's number, everywhere: never exact against screened.
     max(CASE WHEN e.run = $first THEN coalesce(e.screen, e.weight) END) AS weight_first,
     max(CASE WHEN e.run = $second THEN coalesce(e.screen, e.weight) END) AS weight_second,
     // Where there is an exact one, q is of that: null here.
     max(CASE WHEN e.run = $first AND e.screen IS NULL THEN e.q END) AS q_first,
     max(CASE WHEN e.run = $second AND e.screen IS NULL THEN e.q END) AS q_second
WITH s.name AS source, t.name AS target, input, weight_first, weight_second,
     weight_second - weight_first AS difference, q_first, q_second, key
RETURN source, target, input, weight_first, weight_second, difference, q_first, q_second
ORDER BY source, target, coalesce(input, ''), key
LIMIT $limit
