"""GPT-2: LayerNorm with bias, learnt positions, fused q, k, v stored [inputs × outputs]."""

from __future__ import annotations

from typing import Any

from circuitgraph.engine.families.common import activation
from circuitgraph.engine.families.linears import layer_norm
from circuitgraph.engine.model import Attention, Block, Linear, Mlp, Model


def read(hf: Any) -> Model:
    """Records over the weights of a Hugging Face ``GPT2LMHeadModel``."""
    config, inner = hf.config, hf.transformer
    return Model(
        family=config.model_type,
        width=config.n_embd,
        heads=config.n_head,
        kv_heads=config.n_head,
        head_size=config.n_embd // config.n_head,
        embed=inner.wte.weight.detach(),
        embed_scale=1.0,
        positions=inner.wpe.weight.detach(),
        rotary=(),
        max_positions=config.n_positions,
        blocks=tuple(_block(layer, config, i) for i, layer in enumerate(inner.h)),
        norm=layer_norm(inner.ln_f),
        unembed=hf.lm_head.weight.detach(),
        activation=activation(config.activation_function),
    )


def _block(layer: Any, config: Any, index: int) -> Block:
    weights = layer.attn.c_attn.weight.detach().split(config.n_embd, dim=1)
    biases = layer.attn.c_attn.bias.detach().split(config.n_embd)
    q, k, v = (Linear(w, b) for w, b in zip(weights, biases, strict=True))
    attention = Attention(
        norm=layer_norm(layer.ln_1),
        q=q,
        k=k,
        v=v,
        q_norm=None,
        k_norm=None,
        out=_linear(layer.attn.c_proj),
        post=None,
        scale=_score_scale(config, index),
        window=None,
    )
    mlp = Mlp(
        layer_norm(layer.ln_2), None, _linear(layer.mlp.c_fc), _linear(layer.mlp.c_proj), None
    )
    return Block(attention, mlp)


def _score_scale(config: Any, layer: int) -> float:
    scale = (config.n_embd // config.n_head) ** -0.5 if config.scale_attn_weights else 1.0
    return scale / (layer + 1) if config.scale_attn_by_inverse_layer_idx else scale


def _linear(module: Any) -> Linear:
    return Linear(module.weight.detach(), module.bias.detach())
