// Where upstream claims come from: other claims that lead to their source, the nearest first.
// diff: diff = newest effect diff | id, start of an id, or name of a diff
// source: string = '' | only claims that start here; '' for all
// target: string = '' | only claims that end here; '' for all
// within: int = 8 | most claimed edges between an origin and the claim, at most 8
// limit: int = 200 | most rows
MATCH (s:Component)-[e:REWIRED]->(t:Component), (a:Component)-[f:REWIRED]->(b:Component)
WHERE e.diff = $diff AND e.mechanism = 'upstream' AND f.diff = $diff
      AND f.mechanism IN ['edge', 'downstream', 'mixed']
      AND ($source = '' OR s.name = $source) AND ($target = '' OR t.name = $target)
MATCH p = SHORTEST 1 (b) (()-[r:REWIRED WHERE r.diff = $diff]->()){0,8} (s)
WITH s, t, e, a, b, f, length(p) AS distance
WHERE distance <= $within
WITH s.name AS source, t.name AS target, e.input AS input, e.delta AS delta, distance,
     a.name AS origin_source, b.name AS origin_target, f.input AS origin_input,
     f.mechanism AS origin_mechanism, f.delta AS origin_delta, abs(e.delta) AS size,
     e.key AS key, f.key AS origin_key
RETURN source, target, input, delta, distance, origin_source, origin_target, origin_input,
       origin_mechanism, origin_delta
ORDER BY size DESC, key, distance, abs(origin_delta) DESC, origin_key
LIMIT $limit
