"""Phi-3: Llama with q, k and v in one matrix, gate and up in another, rotary positions in a part
of each head, other rotary tables for long rows (LongRoPE), and one window for all layers."""

from __future__ import annotations

from typing import Any

from circuitgraph.engine.families.common import Reader, head_size
from circuitgraph.engine.families.linears import linear, split
from circuitgraph.engine.model import Linear


def _attention_reads(attention: Any, config: Any) -> list[Linear]:
    counts = (config.num_attention_heads, *[config.num_key_value_heads] * 2)
    return split(linear(attention.qkv_proj), [count * head_size(config) for count in counts])


def _mlp_reads(mlp: Any, config: Any) -> list[Linear]:
    return split(linear(mlp.gate_up_proj), [config.intermediate_size] * 2)


read = Reader(
    attention_reads=_attention_reads,
    mlp_reads=_mlp_reads,
    window=lambda config, layer: config.sliding_window,
).read
