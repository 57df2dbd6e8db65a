"""Gemma-3's language model: Gemma-2's norms around each branch without its soft caps, a norm on
every head's q and k, and one rotary table for sliding layers and another for the rest."""

import torch

from circuitgraph.engine.families.common import Reader

read = Reader(
    gain_offset=1.0,
    # The library keeps the scale as a float32 number, also where weights are float64.
    embed_scale=lambda config: float(torch.tensor(config.hidden_size**0.5, dtype=torch.float32)),
    score_scale=lambda config, size: config.query_pre_attn_scalar**-0.5,
    mlp_norm="pre_feedforward_layernorm",
    post_norms=("post_attention_layernorm", "post_feedforward_layernorm"),
    activation="hidden_activation",
).read
