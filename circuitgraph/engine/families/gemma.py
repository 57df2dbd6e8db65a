"""Gemma: Llama with gains stored as gain − 1, and the embedding scaled by √width."""

from circuitgraph.engine.families.common import Reader

read = Reader(gain_offset=1.0, embed_scale=lambda config: config.hidden_size**0.5).read
