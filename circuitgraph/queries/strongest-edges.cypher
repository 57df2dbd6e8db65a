// The edges of a run with the largest weights, either sign.
// run: run = newest run | id, start of an id, or name of a run, or a variant
// source: string = '' | only edges from this component; '' for all
// target: string = '' | only edges into this component; '' for all
// limit: int = 25 | most rows
MATCH (r:Run {id: $run})
MATCH (s:Component)-[e:CORRELATES|AFFECTS]->(t:Component)
WHERE e.run = $run
WITH r, s, e, t, abs(coalesce(e.weight, 0.0)) AS strength
WHERE ($source = '' OR s.name = $source) AND ($target = '' OR t.name = $target)
WITH r, s, e, t, strength
ORDER BY strength DESC, s.name, t.name, e.key
LIMIT $limit
RETURN r.variant AS variant, s.name AS source, t.name AS target, r.kind AS kind, e.input AS input,
       coalesce(e.estimator, '') AS estimator, e.weight AS weight, e.low AS low, e.high AS high,
       e.p AS p, e.q AS q, e.n AS n
ORDER BY strength DESC, source, target, e.key
LIMIT $limit
