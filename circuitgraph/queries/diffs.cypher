// Every diff, the newest first: what was compared, how many claims, on what evidence.
// lens: string = '' | correlation, effect, wiring, or a measure of components; '' for all
// of: string = '' | edges or components; '' for both
// limit: int = 1000 | most rows
MATCH (d:Diff)
WITH d, CASE WHEN d.lens IN ['activity', 'attribution', 'ablation', 'logit-lens', 'attention',
     'probe', 'weights'] THEN 'components' ELSE 'edges' END AS about
WHERE ($lens = '' OR d.lens = $lens) AND ($of = '' OR about = $of)
RETURN d.a AS a, d.b AS b, d.lens AS lens, d.scope AS scope, d.margin AS margin,
       d.alpha AS alpha, d.n_edges AS n_edges, d.n_testable AS n_testable,
       d.n_claims AS n_claims, d.n_effective AS n_effective, d.evidence AS evidence,
       d.created AS created, d.name AS name, d.id AS id
ORDER BY created DESC, id
LIMIT $limit
