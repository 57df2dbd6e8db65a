// Mean, spread and number of distinct activities of components in every variant.
// component: string = '' | name of a component; '' for all
// limit: int = 200 | most rows
MATCH (r:Run)-[m:MEASURES]->(c:Component)
WHERE m.measure = 'activity' AND ($component = '' OR c.name = $component)
RETURN c.name AS component, r.variant AS variant, r.activity AS activity, m.mean AS mean,
       m.sd AS sd, m.`distinct` AS `distinct`, r.n AS n, r.created AS created, m.key AS key
ORDER BY component, variant, created DESC, key
LIMIT $limit
