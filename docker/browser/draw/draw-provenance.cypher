// Draws what was compared with what: diffs, the runs they compare, the variants of the runs.
// lens: string = '' | correlation, effect or wiring; '' for all
// limit: int = 100 | most comparisons, the newest first
MATCH (d:Diff)-[c:COMPARES]->(r:Run)-[o:OF]->(v:Variant)
WHERE $lens = '' OR d.lens = $lens
RETURN d, c, r, o, v
ORDER BY d.created DESC, d.id, c.side, r.id
LIMIT $limit
