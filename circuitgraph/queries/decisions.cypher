// What variants decide in the scenarios of games: probability of cooperation, with legal answers.
// variant: string = '' | name of a variant; '' for all
// game: string = '' | name of a game; '' for all
// limit: int = 200 | most rows
MATCH (v:Variant)-[e:DECIDES]->(s:Scenario)
MATCH (r:Run)
WHERE r.id = e.run AND ($variant = '' OR v.name = $variant) AND ($game = '' OR s.game = $game)
RETURN v.name AS variant, s.game AS game, s.name AS scenario, e.p AS p, e.low AS low,
       e.high AS high, e.legal AS legal, e.n AS n, r.created AS created, e.key AS key
ORDER BY game, scenario, variant, created DESC, key
LIMIT $limit
