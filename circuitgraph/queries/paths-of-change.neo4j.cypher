// The shortest chains of lost (or gained) edges from one component to another.
// diff: diff = newest diff | id, start of an id, or name of a diff
// verdict: string = lost | lost: in A but not in B; gained: in B but not in A
// source: string = strongest claimed source | where the chains begin
// target: string = strongest claimed target | where the chains end
// limit: int = 50 | most rows
MATCH (s:Component {name: $source}), (t:Component {name: $target})
WHERE s <> t
MATCH p = allShortestPaths((s)-[:REWIRED*1..8]->(t))
WHERE all(r IN relationships(p) WHERE r.diff = $diff AND r.verdict = $verdict)
WITH [n IN nodes(p) | n.name] AS components, length(p) AS length,
     [r IN relationships(p) | r.delta] AS deltas, [r IN relationships(p) | r.key] AS keys
RETURN components, length, deltas
ORDER BY length, keys
LIMIT $limit
