// Every edge of one component in every variant, side by side.
// component: string = strongest component | name of a component
// kind: string = '' | correlation or effect; '' for both
// variant: string = '' | only this variant; '' for all
// limit: int = 200 | most rows
MATCH (s:Component)-[e:CORRELATES|AFFECTS]->(t:Component)
WHERE (s.name = $component OR t.name = $component) AND ($variant = '' OR e.variant = $variant)
MATCH (r:Run)
WHERE r.id = e.run AND ($kind = '' OR r.kind = $kind)
WITH s.name AS source, t.name AS target, r.kind AS kind, e.input AS input,
     e.variant AS variant, coalesce(e.estimator, '') AS estimator, e.weight AS weight, e.low AS low,
     e.high AS high, e.q AS q, e.screen AS screen, r.created AS created, r.id AS run, e.key AS key
RETURN source, target, kind, input, variant, estimator, weight, low, high, q, screen, created, run
ORDER BY source, target, kind, coalesce(input, ''), variant, created DESC, key
LIMIT $limit
