// The shortest chains of lost (or gained) edges from one component to another.
// diff: diff = newest diff | id, start of an id, or name of a diff
// verdict: string = lost | lost: in A but not in B; gained: in B but not in A
// source: string = strongest claimed source | where the chains begin
// target: string = strongest claimed target | where the chains end
// limit: int = 50 | most rows
MATCH p = (s:Component {name: $source})-[e:REWIRED* ALL SHORTEST 1..8
          (r, n | WHERE r.diff = $diff AND r.verdict = $verdict)]->(t:Component {name: $target})
WITH properties(nodes(p), 'name') AS components, length(p) AS length,
     properties(rels(p), 'delta') AS deltas, list_to_string('', properties(rels(p), 'key')) AS keys
RETURN components, length, deltas
ORDER BY length, keys
LIMIT $limit
