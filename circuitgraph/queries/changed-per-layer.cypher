// How many claims of a diff lie between which layers, and by what kind of component.
// diff: diff = newest diff | id, start of an id, or name of a diff
// limit: int = 200 | most rows
MATCH (s:Component)-[e:REWIRED]->(t:Component)
WHERE e.diff = $diff
WITH s.layer AS source_layer, s.kind AS source_kind, t.layer AS target_layer,
     t.kind AS target_kind, count(e) AS claims, sum(abs(e.delta)) AS change,
     max(abs(e.delta)) AS largest
RETURN source_layer, source_kind, target_layer, target_kind, claims, change, largest
ORDER BY coalesce(source_layer, -1), source_kind, coalesce(target_layer, -1), target_kind
LIMIT $limit
