// How many claims of a diff are due to what: the edge itself, its signal, or what follows.
// diff: diff = newest diff | id, start of an id, or name of a diff
// limit: int = 100 | most rows
MATCH (s:Component)-[e:REWIRED]->(t:Component)
WHERE e.diff = $diff
WITH e.mechanism AS mechanism, e.verdict AS verdict, count(e) AS claims,
     sum(abs(e.delta)) AS change, max(abs(e.delta)) AS largest
RETURN mechanism, verdict, claims, change, largest
ORDER BY claims DESC, mechanism, verdict
LIMIT $limit
