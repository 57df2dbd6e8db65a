// One edge in every variant, by recipe: does the recipe decide its weight?
// source: string = strongest source | name of a component
// target: string = strongest target | name of a component
// kind: string = '' | correlation or effect; '' for both
// limit: int = 200 | most rows
MATCH (s:Component {name: $source})-[e:CORRELATES|AFFECTS]->(t:Component {name: $target})
MATCH (r:Run)-[:OF]->(v:Variant)
WHERE r.id = e.run AND ($kind = '' OR r.kind = $kind)
WITH v.recipe AS recipe, v.name AS variant, r.kind AS kind, e.input AS input,
     coalesce(e.estimator, '') AS estimator, e.weight AS weight, e.low AS low, e.high AS high, e.p AS p,
     e.q AS q, e.n AS n, e.screen AS screen, r.created AS created, e.key AS key
RETURN recipe, variant, kind, input, estimator, weight, low, high, p, q, n, screen, created
ORDER BY kind, coalesce(input, ''), recipe, variant, created DESC, key
LIMIT $limit
