// The runs behind a diff, side by side, with their methods and prompts.
// diff: diff = newest diff | id, start of an id, or name of a diff
// side: string = '' | a or b; '' for both
// limit: int = 100 | most rows
MATCH (d:Diff {id: $diff})-[c:COMPARES]->(r:Run)
WHERE $side = '' OR c.side = $side
RETURN c.side AS side, r.variant AS variant, r.kind AS kind, r.estimator AS estimator,
       r.n AS n, r.n_effective AS n_effective, r.prompts AS prompts, r.version AS version,
       r.created AS created, r.id AS run, d.name AS diff
ORDER BY side, variant, run
LIMIT $limit
