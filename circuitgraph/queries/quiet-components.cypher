// Components that hardly vary over the prompts of a run: no edge of theirs can be tested.
// run: run = newest correlation run | id, start of an id, or name of a run, or a variant
// least: int = 8 | fewer distinct activities than this are too few
// limit: int = 200 | most rows
MATCH (r:Run {id: $run})-[m:MEASURES]->(c:Component)
WHERE m.measure = 'activity' AND m.`distinct` < $least
RETURN c.name AS component, c.layer AS layer, m.`distinct` AS `distinct`, m.mean AS mean,
       m.sd AS sd, r.n AS n, r.variant AS variant, m.key AS key
ORDER BY `distinct`, component, key
LIMIT $limit
