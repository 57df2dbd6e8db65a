"""What the Llama-like families share when their weights are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu
from transformers.activations import ACT2FN

from circuitgraph.engine.families.rotary import longest, rotary_tables, table_of
from circuitgraph.engine.model import Attention, Block, Linear, Mlp, Model, Norm

_GELU = math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class Reader:
    """How one Llama-like family fills the records.

    Attributes:
        gain_offset: added to stored norm gains (Gemma-2 stores gain − 1).
        embed_scale: of the token embedding, from the configuration.
        score_scale: of the attention scores, from the configuration and head size.
        mlp_norm: name of the norm before the MLP.
        post_norms: names of the norms after attention and after the MLP, or None.
        activation: name of the configuration entry that names the activation.
        window: sliding window of a layer, or None.
    """

    gain_offset: float = 0.0
    embed_scale: Callable[[Any], float] = lambda config: 1.0
    score_scale: Callable[[Any, int], float] = lambda config, size: size**-0.5
    mlp_norm: str = "post_attention_layernorm"
    post_norms: tuple[str, str] | None = None
    activation: str = "hidden_act"
    window: Callable[[Any, int], int | None] = lambda config, layer: window_of(config, layer)

    def read(self, hf: Any) -> Model:
        """Records over the weights of a Hugging Face causal language model."""
        config = hf.config
        inner = hf.model
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return Model(
            family=config.model_type,
            width=config.hidden_size,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_size=size,
            embed=inner.embed_tokens.weight.detach(),
            embed_scale=self.embed_scale(config),
            positions=None,
            rotary=rotary_tables(inner, config),
            max_positions=longest(config),
            blocks=tuple(
                self._block(layer, config, size, (i, table_of(inner, config, i)))
                for i, layer in enumerate(inner.layers)
            ),
            norm=self._norm(inner.norm, config),
            unembed=hf.lm_head.weight.detach(),
            activation=activation(getattr(config, self.activation)),
            attention_cap=getattr(config, "attn_logit_softcapping", None),
            logit_cap=getattr(config, "final_logit_softcapping", None),
        )

    def _block(self, layer: Any, config: Any, size: int, place: tuple[int, int | None]) -> Block:
        attention, mlp, (index, table) = layer.self_attn, layer.mlp, place
        post: list[Norm | None] = [None, None]
        if self.post_norms is not None:
            post = [self._norm(getattr(layer, name), config) for name in self.post_norms]
        return Block(
            Attention(
                norm=self._norm(layer.input_layernorm, config),
                q=linear(attention.q_proj),
                k=linear(attention.k_proj),
                v=linear(attention.v_proj),
                q_norm=self._optional_norm(attention, "q_norm", config),
                k_norm=self._optional_norm(attention, "k_norm", config),
                out=linear(attention.o_proj),
                post=post[0],
                scale=self.score_scale(config, size),
                window=self.window(config, index),
                rotary=table,
            ),
            Mlp(
                norm=self._norm(getattr(layer, self.mlp_norm), config),
                gate=linear(mlp.gate_proj),
                up=linear(mlp.up_proj),
                down=linear(mlp.down_proj),
                post=post[1],
            ),
        )

    def _norm(self, module: Any, config: Any) -> Norm:
        weight = module.weight.detach() + self.gain_offset
        return Norm(weight, None, config.rms_norm_eps, centre=False)

    def _optional_norm(self, module: Any, name: str, config: Any) -> Norm | None:
        return self._norm(getattr(module, name), config) if hasattr(module, name) else None


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The library's activation of that name."""
    return gelu_new if name == "gelu_new" else ACT2FN[name]


def gelu_new(x: Tensor) -> Tensor:
    """GELU by tanh (Hendrycks & Gimpel 2016, arXiv:1606.08415), as x · σ(2u).

    The library spells it out in eight passes over memory, a fifth of all time, and torch's
    own takes as long; tanh u = 2σ(2u) − 1 makes it three, in place where no gradient is asked.
    """
    if torch.is_grad_enabled():
        return gelu(x, approximate="tanh")
    inner = x * x
    inner.mul_(2 * _GELU * 0.044715).add_(2 * _GELU).mul_(x)
    return inner.sigmoid_().mul_(x)


def linear(module: Any) -> Linear:
    """A torch Linear (weight [outputs × inputs]) as ours (weight [inputs × outputs])."""
    bias = None if module.bias is None else module.bias.detach()
    return Linear(module.weight.detach().T, bias)


def window_of(config: Any, layer: int) -> int | None:
    """Sliding window of a layer, or None where attention sees all."""
    kinds = getattr(config, "layer_types", None)
    if kinds is None or kinds[layer] != "sliding_attention":
        return None
    return config.sliding_window


def embedded(hf: Any) -> int:
    """Number of tokens the library's model has embeddings of."""
    return len(hf.get_input_embeddings().weight)
