"""OLMo-2 and OLMo-3: no norms before the branches but norms after them, one norm over the
queries of all heads and one over the keys; OLMo-3 has sliding windows, and tables by layer."""

from circuitgraph.engine.families.common import Reader

read = Reader(
    attention_norm=None,
    mlp_norm=None,
    post_norms=("post_attention_layernorm", "post_feedforward_layernorm"),
).read
