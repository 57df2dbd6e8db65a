// What downstream claims end in: other claims that their target leads to, the nearest first.
// diff: diff = newest effect diff | id, start of an id, or name of a diff
// source: string = '' | only claims that start here; '' for all
// target: string = '' | only claims that end here; '' for all
// within: int = 8 | most claimed edges between the claim and its end, at most 8
// limit: int = 200 | most rows
MATCH (s:Component)-[e:REWIRED]->(t:Component), (a:Component)-[f:REWIRED]->(b:Component)
WHERE e.diff = $diff AND e.mechanism = 'downstream' AND f.diff = $diff
      AND f.mechanism IN ['edge', 'upstream', 'mixed']
      AND ($source = '' OR s.name = $source) AND ($target = '' OR t.name = $target)
MATCH p = SHORTEST 1 (t) (()-[r:REWIRED WHERE r.diff = $diff]->()){0,8} (a)
WITH s, t, e, a, b, f, length(p) AS distance
WHERE distance <= $within
WITH s.name AS source, t.name AS target, e.input AS input, e.delta AS delta, distance,
     a.name AS end_source, b.name AS end_target, f.input AS end_input,
     f.mechanism AS end_mechanism, f.delta AS end_delta, abs(e.delta) AS size,
     e.key AS key, f.key AS end_key
RETURN source, target, input, delta, distance, end_source, end_target, end_input,
       end_mechanism, end_delta
ORDER BY size DESC, key, distance, abs(end_delta) DESC, end_key
LIMIT $limit
