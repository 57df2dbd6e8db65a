"""Granite: Llama with factors of embedding, scores, logits, and of what each branch adds; the
last belong to the contributions."""

from circuitgraph.engine.families.common import Reader

read = Reader(
    embed_scale=lambda config: config.embedding_multiplier,
    score_scale=lambda config, size: config.attention_multiplier,
    branch_scale=lambda config: config.residual_multiplier,
    logit_scale=lambda config: 1 / config.logits_scaling,
).read
