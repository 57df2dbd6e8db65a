// Every variant: its recipe, its size, and how many runs it has.
// limit: int = 1000 | most rows
MATCH (v:Variant)
OPTIONAL MATCH (r:Run)-[:OF]->(v)
WITH v, count(r) AS runs
RETURN v.name AS variant, v.recipe AS recipe, v.base AS base, v.adapter AS adapter,
       v.layers AS layers, v.heads AS heads, v.parameters AS parameters, runs AS runs,
       v.architecture AS architecture, v.fingerprint AS fingerprint, v.id AS id
ORDER BY variant, id
LIMIT $limit
