"""How weights of Llama-like families are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu
from transformers.activations import ACT2FN

from circuitgraph.engine.families.linears import experts, linear, named, scaled
from circuitgraph.engine.families.rotary import longest, rotary_tables, table_of
from circuitgraph.engine.model import Attention, Block, Experts, Linear, Mlp, Model, Norm
from circuitgraph.engine.norms import JointNorm, NoNorm

_GELU = math.sqrt(2 / math.pi)
_QKV = named("q_proj", "k_proj", "v_proj")
_GATED = named("gate_proj", "up_proj")


@dataclass(frozen=True)
class Reader:
    """How one Llama-like family fills the records.

    ``gain_offset`` is added to stored norm gains (Gemma-2 stores gain − 1). The scales of token
    embedding, attention scores, branches (what attention and MLP add to the stream) and logits
    come from the configuration; ``attention_norm``, ``mlp_norm`` name the norms before the
    branches, ``post_norms`` those after them; ``attention_reads`` and ``mlp_reads`` give q, k, v
    and gate, up of the library's modules; ``activation`` is the configuration's entry;
    ``window`` gives the sliding window of a layer, ``turned`` whether rotary positions reach it.
    """

    gain_offset: float = 0.0
    embed_scale: Callable[[Any], float] = lambda config: 1.0
    score_scale: Callable[[Any, int], float] = lambda config, size: size**-0.5
    branch_scale: Callable[[Any], float] = lambda config: 1.0
    logit_scale: Callable[[Any], float] = lambda config: 1.0
    attention_norm: str | None = "input_layernorm"
    mlp_norm: str | None = "post_attention_layernorm"
    post_norms: tuple[str, str] | None = None
    attention_reads: Callable[[Any, Any], list[Linear]] = _QKV
    mlp_reads: Callable[[Any, Any], list[Linear]] = _GATED
    activation: str = "hidden_act"
    window: Callable[[Any, int], int | None] = lambda config, layer: window_of(config, layer)
    turned: Callable[[Any, int], bool] = lambda config, layer: True

    def read(self, hf: Any) -> Model:
        """Records over the weights of a Hugging Face causal language model."""
        config, inner = hf.config, hf.model
        norm = self._norm(inner.norm, config)
        scale = self.logit_scale(config)
        return Model(
            family=config.model_type,
            width=config.hidden_size,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_size=head_size(config),
            embed=inner.embed_tokens.weight.detach(),
            embed_scale=self.embed_scale(config),
            positions=None,
            rotary=rotary_tables(inner, config),
            max_positions=longest(config),
            blocks=tuple(self._block(inner, i) for i in range(len(inner.layers))),
            # The decision, and all who read what LOGITS reads, see the factor as a gain.
            norm=norm if scale == 1.0 else replace(norm, weight=norm.weight * scale),
            unembed=hf.lm_head.weight.detach(),
            activation=activation(getattr(config, self.activation)),
            attention_cap=getattr(config, "attn_logit_softcapping", None),
            logit_cap=getattr(config, "final_logit_softcapping", None),
        )

    def _block(self, inner: Any, index: int) -> Block:
        layer, config = inner.layers[index], inner.config
        post: list[Norm | None] = [None, None]
        if self.post_norms is not None:
            post = [self._norm(getattr(layer, name), config) for name in self.post_norms]
        return Block(self._attention(inner, index, post[0]), self._mlp(layer, config, post[1]))

    def _attention(self, inner: Any, index: int, post: Norm | None) -> Attention:
        layer, config = inner.layers[index], inner.config
        attention = layer.self_attn
        q, k, v = self.attention_reads(attention, config)
        turned = self.turned(config, index)
        return Attention(
            norm=self._norm_before(layer, self.attention_norm, config),
            q=q,
            k=k,
            v=v,
            q_norm=self._head_norm(attention, "q_norm", config),
            k_norm=self._head_norm(attention, "k_norm", config),
            out=scaled(linear(attention.o_proj), self.branch_scale(config)),
            post=post,
            scale=self.score_scale(config, head_size(config)),
            window=self.window(config, index),
            rotary=table_of(inner, config, index) if turned else None,
        )

    def _mlp(self, layer: Any, config: Any, post: Norm | None) -> Mlp | Experts:
        if hasattr(layer.mlp, "experts") and post is None:
            return experts(layer.mlp, self._norm_before(layer, self.mlp_norm, config))
        gate, up = self.mlp_reads(layer.mlp, config)
        return Mlp(
            norm=self._norm_before(layer, self.mlp_norm, config),
            gate=gate,
            up=up,
            down=scaled(linear(layer.mlp.down_proj), self.branch_scale(config)),
            post=post,
        )

    def _norm(self, module: Any, config: Any) -> Norm:
        weight = module.weight.detach() + self.gain_offset
        return Norm(weight, None, config.rms_norm_eps, centre=False)

    def _norm_before(self, layer: Any, name: str | None, config: Any) -> Norm:
        if name is None:
            return NoNorm.of(layer.mlp.down_proj.weight.detach()[:, 0])
        return self._norm(getattr(layer, name), config)

    def _head_norm(self, attention: Any, name: str, config: Any) -> Norm | None:
        """A norm of every head alike, or one over all heads at once, by its width."""
        if not hasattr(attention, name):
            return None
        norm, size = self._norm(getattr(attention, name), config), head_size(config)
        if len(norm.weight) == size:
            return norm
        return JointNorm(norm.weight.view(-1, size), None, norm.eps, centre=False)


def head_size(config: Any) -> int:
    """Of every head's queries."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


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


def window_of(config: Any, layer: int) -> int | None:
    """Sliding window of a layer, or None where attention sees all."""
    kinds = getattr(config, "layer_types", None)
    if kinds is None or kinds[layer] != "sliding_attention":
        return None
    return config.sliding_window


def embedded(hf: Any) -> int:
    """Number of tokens the library's model has embeddings of."""
    return len(hf.get_input_embeddings().weight)
