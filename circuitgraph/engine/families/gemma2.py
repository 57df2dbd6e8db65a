"""Gemma-2: norms before and after each branch, gains stored as gain − 1, soft caps,
every other layer with a sliding window, the embedding scaled by √width."""

from circuitgraph.engine.families.common import Reader

read = Reader(
    gain_offset=1.0,
    embed_scale=lambda config: config.hidden_size**0.5,
    score_scale=lambda config, size: config.query_pre_attn_scalar**-0.5,
    mlp_norm="pre_feedforward_layernorm",
    post_norms=("post_attention_layernorm", "post_feedforward_layernorm"),
    activation="hidden_activation",
).read
