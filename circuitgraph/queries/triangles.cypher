// Feed-forward triangles that vanish with a lost edge or appear with a gained one.
// diff: diff = newest diff | id, start of an id, or name of a diff
// first: run = first run compared | run of A: a triangle that vanishes was whole there
// second: run = second run compared | run of B: a triangle that appears is whole there
// alpha: float = 0.05 | the other two edges are there where their q is at most this
// limit: int = 100 | most rows
MATCH (s:Component)-[e:REWIRED]->(t:Component)
WHERE e.diff = $diff AND e.verdict IN ['lost', 'gained']
WITH s, t, e.verdict AS verdict, max(abs(e.delta)) AS size,
     CASE WHEN e.verdict = 'lost' THEN $first ELSE $second END AS run
MATCH (s)-[f:CORRELATES|AFFECTS]-(third:Component)
WHERE f.run = run AND f.q <= $alpha
MATCH (third)-[g:CORRELATES|AFFECTS]-(t)
WHERE g.run = run AND g.q <= $alpha
WITH s.name AS source, t.name AS target, third.name AS third, third.layer AS third_layer,
     CASE WHEN verdict = 'lost' THEN 'vanishes' ELSE 'appears' END AS change, size,
     max(f.weight) AS source_third, max(g.weight) AS third_target,
     min(f.key) AS first_key, min(g.key) AS second_key
RETURN source, target, third, change, size, source_third, third_target, third_layer
ORDER BY change DESC, size DESC, source, target, third, first_key, second_key
LIMIT $limit
