"""Naive edge effects: one hooked ``TransformerBridge`` forward an edge, one prompt at a time.

Shares nothing with the engine but the words: no padding, no reuse, no batching.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from circuitgraph.components import EMBED, LOGITS, Edge, parse
from circuitgraph.tokens import Encoded

Hook = tuple[str, Callable[[Tensor, Any], Tensor]]


def make_bridge(hf: Any, folder: Path, tokenizer: Any) -> TransformerBridge:
    """The library's bridge over a merged model, with every input and head in sight."""
    bridge = TransformerBridge.boot_transformers(
        str(folder), device="cpu", hf_model=hf, tokenizer=tokenizer
    )
    bridge.set_use_attn_result(True)
    bridge.set_use_split_qkv_input(True)
    bridge.set_use_hook_mlp_in(True)
    return bridge


@torch.no_grad()
def effects(bridge: TransformerBridge, prompt: Encoded, edges: list[Edge]) -> list[float]:
    """Raw effect of each edge for one prompt."""
    sequences = [
        (prompt.prompt + a[:-1], prompt.corrupt + a[:-1], a, sign)
        for a, sign in ((prompt.answer, 1.0), (prompt.wrong_answer, -1.0))
    ]
    total = [0.0] * len(edges)
    for clean, corrupt, answer, sign in sequences:
        for i, value in enumerate(_sequence(bridge, clean, corrupt, answer, edges)):
            total[i] += sign * value
    return total


def _sequence(
    bridge: TransformerBridge,
    clean: tuple[int, ...],
    corrupt: tuple[int, ...],
    answer: tuple[int, ...],
    edges: list[Edge],
) -> list[float]:
    end = len(clean) - len(answer) + 1
    logits, kept = bridge.run_with_cache(torch.tensor([clean]))
    _, other = bridge.run_with_cache(torch.tensor([corrupt]))
    base = _log_prob(logits, answer, end)
    values = []
    for edge in edges:
        delta = _sent(bridge, other, edge.source) - _sent(bridge, kept, edge.source)
        delta[:, end:] = 0
        hooks = _hooks(bridge, kept, edge, delta)
        patched = bridge.run_with_hooks(torch.tensor([clean]), fwd_hooks=hooks)
        values.append(_log_prob(patched, answer, end) - base)
    return values


def _log_prob(logits: Tensor, answer: tuple[int, ...], end: int) -> float:
    log_probs = logits[0].double().log_softmax(-1)
    return float(sum(log_probs[end - 1 + k, token] for k, token in enumerate(answer)))


def _sent(bridge: TransformerBridge, cache: Any, name: str) -> Tensor:
    component = parse(name)
    if name == EMBED:
        return cache["blocks.0.hook_resid_pre"].clone()
    block = f"blocks.{component.layer}"
    if component.kind == "mlp":
        return cache[f"{block}.hook_mlp_out"].clone()
    if component.kind == "attn":
        return cache[f"{block}.hook_attn_out"].clone()
    result = cache[f"{block}.attn.hook_result"]
    raw = result[:, :, component.head].clone()
    layer = bridge.blocks[component.layer]
    if not hasattr(layer, "ln1_post"):
        return raw
    norm = layer.ln1_post.original_component
    total = result.sum(2)
    scale = torch.rsqrt(total.pow(2).mean(-1, keepdim=True) + norm.eps)
    return raw * scale * (1 + norm.weight)


def _hooks(bridge: TransformerBridge, kept: Any, edge: Edge, delta: Tensor) -> list[Hook]:
    target = parse(edge.target)
    if edge.target == LOGITS:
        last = len(bridge.blocks) - 1
        return [(f"blocks.{last}.hook_resid_post", lambda x, hook: x + delta)]
    block = f"blocks.{target.layer}"
    if target.kind == "mlp":
        return [(f"{block}.hook_mlp_in", lambda x, hook: x + delta)]
    letters = "qkv" if edge.input == "all" else edge.input

    def add(x: Tensor, hook: Any) -> Tensor:
        if target.kind == "attn" or edge.input == "all":
            return x + delta[:, :, None]
        x = x.clone()
        x[:, :, target.head] += delta
        return x

    hooks: list[Hook] = [(f"{block}.attn.hook_{letter}_input", add) for letter in letters]
    if target.kind == "head" and edge.input == "all":
        hooks.append((f"{block}.attn.hook_z", _only(target.head, kept[f"{block}.attn.hook_z"])))
    return hooks


def _only(head: int | None, clean: Tensor) -> Callable[[Tensor, Any], Tensor]:
    """Let one head's change through and put the clean values back everywhere else."""

    def keep(z: Tensor, hook: Any) -> Tensor:
        flat = z.reshape(*z.shape[:2], -1)
        out = clean.reshape(flat.shape).clone()
        size = z.shape[-1] if z.dim() == 4 else flat.shape[-1] // HEADS
        part = slice(head * size, (head + 1) * size)
        out[..., part] = flat[..., part]
        return out.reshape(z.shape)

    return keep


HEADS = 4
