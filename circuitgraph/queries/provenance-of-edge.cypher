// Where an edge of a run comes from: model, adapter, prompts, method, version, time.
// run: run = newest run | id, start of an id, or name of a run, or a variant
// source: string = strongest source | name of a component
// target: string = strongest target | name of a component
// limit: int = 25 | most rows
MATCH (s:Component {name: $source})-[e:CORRELATES|AFFECTS]->(t:Component {name: $target})
WHERE e.run = $run
MATCH (r:Run {id: $run})-[:OF]->(v:Variant)
WITH s.name AS source, t.name AS target, e.input AS input, e.weight AS weight, e.low AS low,
     e.high AS high, e.q AS q, e.n AS n, v.name AS variant, v.recipe AS recipe, v.base AS base,
     v.adapter AS adapter, v.fingerprint AS fingerprint, r.kind AS kind,
     r.estimator AS estimator, r.ablation AS ablation, r.activity AS activity,
     r.prompts AS prompts, r.n_scenarios AS n_scenarios, r.seed AS seed,
     r.version AS version, r.created AS created, r.id AS run, e.key AS key
RETURN source, target, input, weight, low, high, q, n, variant, recipe, base, adapter,
       fingerprint, kind, estimator, ablation, activity, prompts, n_scenarios, seed, version,
       created, run, key
ORDER BY coalesce(input, ''), key
LIMIT $limit
