// Components that move a run's decisions the same way when they are steered and when patched.
// variant: string = '' | the variant that ran; '' for all
// source_variant: string = '' | the variant that was patched in, or steered toward; '' for all
// least: float = 0.01 | nats that either must move the decision by
// way: string = same | same, opposite, or '' for both
// limit: int = 50 | most rows
MATCH (c:Component)-[p:TRANSFERS]->(t:Component)
WHERE p.method = 'patch' AND abs(p.effect) >= $least
MATCH (c)-[s:TRANSFERS]->(t)
WHERE s.method = 'steer' AND abs(s.effect) >= $least AND s.run = p.run
  AND s.source_variant = p.source_variant
  AND ($variant = '' OR p.variant = $variant)
  AND ($source_variant = '' OR p.source_variant = $source_variant)
WITH c.name AS component, p.source_variant AS source_variant, p.variant AS variant,
     p.effect AS patched, s.effect AS steered, p.key AS key, s.key AS other,
     CASE WHEN (p.effect > 0.0 AND s.effect > 0.0) OR (p.effect < 0.0 AND s.effect < 0.0)
          THEN 'same' ELSE 'opposite' END AS moved,
     CASE WHEN abs(p.effect) < abs(s.effect) THEN abs(p.effect) ELSE abs(s.effect) END AS size
WHERE $way = '' OR moved = $way
RETURN component, source_variant, variant, patched, steered, moved
ORDER BY size DESC, component, source_variant, variant, key, other
LIMIT $limit
