// Edges claimed by several diffs: what many variants, or only one, rewired.
// lens: string = '' | correlation, effect or wiring; '' for all
// least: int = 2 | at least so many diffs claim the edge
// most: int = 1000000 | at most so many; 1 with least=1 for what is special to one diff
// limit: int = 100 | most rows
MATCH (s:Component)-[e:REWIRED]->(t:Component)
WHERE $lens = '' OR e.lens = $lens
WITH s.id AS source_id, t.id AS target_id, s.name AS source, t.name AS target,
     e.input AS input, e.lens AS lens, count(DISTINCT e.diff) AS diffs,
     count(CASE WHEN e.delta > 0.0 THEN 1 END) AS up,
     count(CASE WHEN e.delta < 0.0 THEN 1 END) AS down,
     count(CASE WHEN e.verdict = 'sign_flip' THEN 1 END) AS sign_flips,
     avg(e.delta) AS mean_delta, min(e.b) AS first_b, max(e.b) AS last_b
WHERE diffs >= $least AND diffs <= $most
RETURN source, target, input, lens, diffs, up, down, sign_flips, mean_delta, first_b, last_b
ORDER BY diffs DESC, source, target, input, lens, source_id, target_id
LIMIT $limit
