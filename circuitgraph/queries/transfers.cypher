// Components that carry one variant's decisions into another's run, strongest first.
// variant: string = '' | the variant that ran with them in it; '' for all
// source_variant: string = '' | the variant they came from; '' for all
// method: string = '' | patch, transplant or steer; '' for all
// component: string = '' | name of a component; '' for all
// limit: int = 50 | most rows
MATCH (c:Component)-[e:TRANSFERS]->(t:Component)
MATCH (r:Run)
WHERE r.id = e.run AND ($variant = '' OR e.variant = $variant)
  AND ($source_variant = '' OR e.source_variant = $source_variant)
  AND ($method = '' OR e.method = $method) AND ($component = '' OR c.name = $component)
RETURN e.source_variant AS source_variant, e.variant AS variant, e.method AS method,
       c.name AS component,
       e.effect AS effect, e.flips AS flips, e.n AS n, r.created AS created, e.key AS key
ORDER BY abs(coalesce(effect, 0.0)) DESC, component, source_variant, variant, key
LIMIT $limit
