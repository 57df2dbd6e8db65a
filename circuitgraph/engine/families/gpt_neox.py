"""GPT-NeoX (Pythia): LayerNorm with bias, q, k and v of each head side by side in one matrix,
rotary positions in a part of each head, attention and MLP beside each other or in sequence."""

from __future__ import annotations

from typing import Any

from circuitgraph.engine.families.common import activation, head_size
from circuitgraph.engine.families.linears import interleaved, layer_norm, linear
from circuitgraph.engine.families.rotary import longest, rotary_tables
from circuitgraph.engine.model import Attention, Block, Mlp, Model


def read(hf: Any) -> Model:
    """Records over the weights of a Hugging Face ``GPTNeoXForCausalLM``."""
    config, inner = hf.config, hf.gpt_neox
    return Model(
        family=config.model_type,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_attention_heads,
        head_size=head_size(config),
        embed=inner.embed_in.weight.detach(),
        embed_scale=1.0,
        positions=None,
        rotary=rotary_tables(inner, config),
        max_positions=longest(config),
        blocks=tuple(_block(layer, config) for layer in inner.layers),
        norm=layer_norm(inner.final_layer_norm),
        unembed=hf.get_output_embeddings().weight.detach(),
        activation=activation(config.hidden_act),
        parallel=bool(config.use_parallel_residual),
    )


def _block(layer: Any, config: Any) -> Block:
    fused = linear(layer.attention.query_key_value)
    q, k, v = interleaved(fused, config.num_attention_heads)
    attention = Attention(
        norm=layer_norm(layer.input_layernorm),
        q=q,
        k=k,
        v=v,
        q_norm=None,
        k_norm=None,
        out=linear(layer.attention.dense),
        post=None,
        scale=head_size(config) ** -0.5,
        window=None,
        rotary=0,
    )
    up, down = linear(layer.mlp.dense_h_to_4h), linear(layer.mlp.dense_4h_to_h)
    return Block(attention, Mlp(layer_norm(layer.post_attention_layernorm), None, up, down, None))
