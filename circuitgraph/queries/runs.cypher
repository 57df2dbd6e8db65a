// Every run, the newest first: what was measured, how, on how many prompts.
// variant: string = '' | only runs of this variant; '' for all
// kind: string = '' | correlation or effect; '' for both
// limit: int = 1000 | most rows
MATCH (r:Run)
WHERE ($variant = '' OR r.variant = $variant) AND ($kind = '' OR r.kind = $kind)
RETURN r.variant AS variant, r.kind AS kind, r.estimator AS estimator, r.inputs AS inputs,
       r.granularity AS granularity, r.activity AS activity, r.ablation AS ablation,
       r.n AS n, r.n_scenarios AS n_scenarios, r.n_effective AS n_effective,
       r.created AS created, r.name AS name, r.id AS id
ORDER BY created DESC, id
LIMIT $limit
