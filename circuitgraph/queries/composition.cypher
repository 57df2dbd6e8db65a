// Pairs of components whose weights compose most, of any variant composed.
// variant: string = '' | name of a variant; '' for all
// input: string = '' | q, k, v, or in (MLPs, LOGITS); '' for all
// component: string = '' | name of a component at either end; '' for all
// limit: int = 50 | most rows
MATCH (s:Component)-[e:COMPOSES]->(t:Component)
MATCH (r:Run)
WHERE r.id = e.run AND ($variant = '' OR e.variant = $variant)
  AND ($input = '' OR e.input = $input)
  AND ($component = '' OR s.name = $component OR t.name = $component)
RETURN s.name AS source, t.name AS target, e.input AS input, e.weight AS weight,
       e.variant AS variant, e.key AS key
ORDER BY coalesce(weight, 0.0) DESC, source, target, input, variant, key
LIMIT $limit
