// 4 colour by layer and kind: gives components the labels Depth1 … Depth6, Head, MLP …
MATCH (c:Component)
WITH c.architecture AS architecture, max(c.layer) + 1 AS layers
MATCH (c:Component {architecture: architecture})
WITH c, toInteger(6.0 * c.layer / layers) + 1 AS depth
FOREACH (_ IN CASE WHEN c.kind = 'head' THEN [1] ELSE [] END | SET c:Head)
FOREACH (_ IN CASE WHEN c.kind = 'kv' THEN [1] ELSE [] END | SET c:KV)
FOREACH (_ IN CASE WHEN c.kind = 'attn' THEN [1] ELSE [] END | SET c:Attention)
FOREACH (_ IN CASE WHEN c.kind = 'mlp' THEN [1] ELSE [] END | SET c:MLP)
FOREACH (_ IN CASE WHEN c.kind IN ['embed', 'logits'] THEN [1] ELSE [] END | SET c:Ends)
FOREACH (_ IN CASE WHEN depth = 1 THEN [1] ELSE [] END | SET c:Depth1)
FOREACH (_ IN CASE WHEN depth = 2 THEN [1] ELSE [] END | SET c:Depth2)
FOREACH (_ IN CASE WHEN depth = 3 THEN [1] ELSE [] END | SET c:Depth3)
FOREACH (_ IN CASE WHEN depth = 4 THEN [1] ELSE [] END | SET c:Depth4)
FOREACH (_ IN CASE WHEN depth = 5 THEN [1] ELSE [] END | SET c:Depth5)
FOREACH (_ IN CASE WHEN depth = 6 THEN [1] ELSE [] END | SET c:Depth6)
