// The components of a diff with the most claims on their edges.
// diff: diff = newest diff | id, start of an id, or name of a diff
// limit: int = 25 | most rows
MATCH (d:Diff {id: $diff})
MATCH (c:Component)-[e:REWIRED]-(o:Component)
WHERE e.diff = $diff
WITH d.name AS diff, c.name AS component, c.layer AS layer, c.id AS id, count(e) AS claims,
     count(CASE WHEN e.verdict = 'rewired' THEN 1 END) AS rewired,
     count(CASE WHEN e.verdict = 'sign_flip' THEN 1 END) AS sign_flips,
     count(CASE WHEN e.verdict = 'gained' THEN 1 END) AS gained,
     count(CASE WHEN e.verdict = 'lost' THEN 1 END) AS lost,
     sum(abs(e.delta)) AS change
RETURN component, layer, claims, rewired, sign_flips, gained, lost, change, diff
ORDER BY claims DESC, round(change, 9) DESC, component, id
LIMIT $limit
