// Edges whose sign is opposite in every pair of a variant of one recipe and one of another.
// recipe: string = first recipe | a recipe
// other: string = another recipe | the recipe to compare it with
// kind: string = effect | correlation or effect
// alpha: float = 0.05 | every weight must be told from 0 with a q of at most this
// limit: int = 100 | most rows
MATCH (r:Run)-[:OF]->(v:Variant)
WHERE r.kind = $kind AND v.recipe <> '' AND v.recipe IN [$recipe, $other]
WITH count(DISTINCT CASE WHEN v.recipe = $recipe THEN v.id END) AS size,
     count(DISTINCT CASE WHEN v.recipe = $other THEN v.id END) AS other_size
MATCH (r:Run)-[:OF]->(v:Variant)
WHERE r.kind = $kind AND v.recipe <> '' AND v.recipe IN [$recipe, $other]
MATCH (s:Component)-[e:CORRELATES|AFFECTS]->(t:Component)
WHERE e.run = r.id AND e.q <= $alpha
  // Where an effect was measured exactly, q is of that: the screen's sign must be its sign.
  AND (e.screen IS NULL OR (e.screen > 0.0 AND e.weight > 0.0)
       OR (e.screen < 0.0 AND e.weight < 0.0))
WITH s, t, e.input AS input, size, other_size,
     count(DISTINCT CASE WHEN v.recipe = $recipe THEN v.id END) AS variants,
     count(DISTINCT CASE WHEN v.recipe = $other THEN v.id END) AS other_variants,
     min(CASE WHEN v.recipe = $recipe THEN coalesce(e.screen, e.weight) END) AS lowest,
     max(CASE WHEN v.recipe = $recipe THEN coalesce(e.screen, e.weight) END) AS highest,
     min(CASE WHEN v.recipe = $other THEN coalesce(e.screen, e.weight) END) AS other_lowest,
     max(CASE WHEN v.recipe = $other THEN coalesce(e.screen, e.weight) END) AS other_highest,
     min(e.key) AS key
WHERE variants = size AND other_variants = other_size
  AND ((lowest > 0.0 AND other_highest < 0.0) OR (highest < 0.0 AND other_lowest > 0.0))
WITH s.name AS source, t.name AS target, input, lowest, highest, other_lowest, other_highest,
     variants, other_variants, key,
     CASE WHEN lowest > 0.0 THEN lowest - other_highest
          ELSE other_lowest - highest END AS gap
RETURN source, target, input, lowest, highest, other_lowest, other_highest, gap, variants,
       other_variants
ORDER BY gap DESC, source, target, key
LIMIT $limit
