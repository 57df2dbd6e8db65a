// Every claim of a diff, the largest change first.
// diff: diff = newest diff | id, start of an id, or name of a diff
// verdict: string = '' | rewired, sign_flip, gained or lost; '' for all
// limit: int = 100 | most rows
MATCH (s:Component)-[e:REWIRED]->(t:Component)
WHERE e.diff = $diff AND ($verdict = '' OR e.verdict = $verdict)
WITH s.name AS source, t.name AS target, e.input AS input, e.lens AS lens,
     e.weight_a AS weight_a, e.weight_b AS weight_b, e.delta AS delta, e.low AS low,
     e.high AS high, e.p AS p, e.q AS q, e.verdict AS verdict, e.mechanism AS mechanism,
     e.stability AS stability, e.a AS a, e.b AS b, abs(e.delta) AS size, e.key AS key
RETURN source, target, input, lens, weight_a, weight_b, delta, low, high, p, q, verdict,
       mechanism, stability, a, b
ORDER BY size DESC, source, target, key
LIMIT $limit
