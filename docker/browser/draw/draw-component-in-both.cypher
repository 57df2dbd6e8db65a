// Draws one component in both variants of a diff: its strongest edges, its claims.
// diff: diff = newest diff | id of a diff
// first: run = first run compared | id of a run
// second: run = second run compared | id of a run
// component: string = strongest component | name of a component
// limit: int = 24 | most edges, claims before others
MATCH (s:Component)-[e:CORRELATES|AFFECTS|REWIRED]->(t:Component)
WHERE (s.name = $component OR t.name = $component)
  AND (e.run IN [$first, $second] OR e.diff = $diff)
RETURN s, e, t
ORDER BY e.diff IS NULL, abs(coalesce(e.delta, e.weight, 0.0)) DESC, e.key
LIMIT $limit
