// Every recipe with the number of its variants and of their runs.
// recipe: string = '' | leave this one out
// limit: int = 200 | most rows
MATCH (r:Run)-[:OF]->(v:Variant)
WHERE v.recipe <> '' AND v.recipe <> $recipe
WITH v.recipe AS recipe, count(DISTINCT v.id) AS variants, count(r) AS runs,
     max(r.created) AS newest
RETURN recipe, variants, runs, newest
ORDER BY variants DESC, newest DESC, recipe
LIMIT $limit
