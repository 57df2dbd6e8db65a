// Plain differences between two runs, edge by edge: numbers to look at, not claims.
// first: run = first run compared | id, start of an id, or name of a run, or a variant
// second: run = second run compared | id, start of an id, or name of a run, or a variant
// limit: int = 50 | most rows
CALL {
  // By type: with both at once, Neo4j compares all rows to find doubles. Then a pivot: a
  // join would walk the parallel edges of every variant between each two components.
  MATCH (s)-[e:CORRELATES]->(t) WHERE e.run IN [$first, $second]
  RETURN s, t, e, null AS input
  UNION ALL
  MATCH (s)-[e:AFFECTS]->(t) WHERE e.run IN [$first, $second]
  RETURN s, t, e, e.input AS input
}
WITH s, t, input,
     // Of a screened run the screen's number, everywhere: never exact against screened.
     max(CASE WHEN e.run = $first THEN coalesce(e.screen, e.weight) END) AS weight_first,
     max(CASE WHEN e.run = $second THEN coalesce(e.screen, e.weight) END) AS weight_second,
     min(CASE WHEN e.run = $first THEN e.key END) AS key,
     count(CASE WHEN e.run = $second THEN 1 END) AS matched
WHERE key IS NOT NULL AND matched > 0
WITH s, t, input, weight_first, weight_second, key,
     weight_second - weight_first AS difference,
     abs(coalesce(weight_second - weight_first, 0.0)) AS size
ORDER BY size DESC, key
LIMIT $limit
RETURN s.name AS source, t.name AS target, input, weight_first, weight_second, difference
ORDER BY size DESC, source, target, key
LIMIT $limit
