"""Naive edge effects: hooks on the library's ``TransformerBridge``, an edge a forward.

Shares nothing with the engine but the words: no padding, no reuse, one prompt at a time.
Edges may stand beside each other as rows of one forward; no row sees another.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from circuitgraph.base.components import EMBED, LOGITS, Edge, parse
from circuitgraph.prompts.tokens import Encoded

if TYPE_CHECKING:  # importing it takes seconds
    from transformer_lens.model_bridge import TransformerBridge

Change = Callable[[Tensor], Tensor]
Hook = tuple[str, Change]


def make_bridge(hf: Any, folder: Path, tokenizer: Any) -> TransformerBridge:
    """The library's bridge over a merged model, with every input and head in sight."""
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(
        str(folder), device="cpu", hf_model=hf, tokenizer=tokenizer
    )
    bridge.set_use_attn_result(True)
    bridge.set_use_split_qkv_input(True)
    bridge.set_use_hook_mlp_in(True)
    return bridge


@torch.no_grad()
def effects(bridge: TransformerBridge, prompt: Encoded, edges: Sequence[Edge]) -> Tensor:
    """Raw effect of each edge for one prompt, [edges]: senders as in the corrupt run."""
    others: dict[tuple[int, ...], Any] = {}

    def delta(kept: Any, shown: tuple[int, ...], edge: Edge) -> Tensor:
        if shown not in others:
            _, others[shown] = bridge.run_with_cache(torch.tensor([prompt.corrupt + shown]))
        return sent(bridge, others[shown], edge.source) - sent(bridge, kept, edge.source)

    return receive(bridge, prompt, edges, delta)


@torch.no_grad()
def receive(
    bridge: TransformerBridge,
    prompt: Encoded,
    edges: Sequence[Edge],
    delta: Callable[[Any, tuple[int, ...], Edge], Tensor],
) -> Tensor:
    """Change of the decision when each edge's receiver reads ``delta`` more, [edges].

    Args:
        delta: of the clean cache, the answer tokens shown, and the edge: [1, T, d].
    """
    total = torch.zeros(len(edges), dtype=torch.float64)
    signed = ((prompt.answer, 1.0), (prompt.wrong_answer, -1.0))
    end = len(prompt.prompt)
    for shown in {answer[:-1] for answer, _ in signed}:  # what stands before the last judged
        clean = torch.tensor([prompt.prompt + shown])
        base, kept = bridge.run_with_cache(clean)
        hooks = []
        for edge in edges:
            change = delta(kept, shown, edge)
            change[:, end:] = 0
            hooks.append(edge_hooks(bridge, kept, edge, change))
        rows = clean.expand(len(edges), -1)
        patched = bridge.run_with_hooks(rows, fwd_hooks=_side_by_side(hooks))
        for answer, sign in signed:
            if answer[:-1] == shown:
                total += sign * (_log_prob(patched, answer, end) - _log_prob(base, answer, end))
    return total


@torch.no_grad()
def batched_effects(
    bridge: TransformerBridge, prompts: Sequence[Encoded], edges: Sequence[Edge]
) -> tuple[float, Tensor]:
    """CPU seconds and effects [prompts, edges], one forward an edge for all prompts.

    For timing: prompts of one length, answers of one token, caches made before the clock.
    """
    clean, corrupt = (torch.tensor([getattr(p, n) for p in prompts]) for n in ("prompt", "corrupt"))
    rows = torch.arange(len(prompts))
    answer, wrong = (
        torch.tensor([getattr(p, n)[0] for p in prompts]) for n in ("answer", "wrong_answer")
    )
    base, kept = bridge.run_with_cache(clean)
    _, other = bridge.run_with_cache(corrupt)
    columns = []
    begin = time.process_time()
    for edge in edges:
        delta = sent(bridge, other, edge.source) - sent(bridge, kept, edge.source)
        hooks = [
            (name, lambda x, hook, change=change: change(x))
            for name, change in edge_hooks(bridge, kept, edge, delta)
        ]
        last = (bridge.run_with_hooks(clean, fwd_hooks=hooks) - base)[:, -1]
        columns.append(last[rows, answer] - last[rows, wrong])
    return time.process_time() - begin, torch.stack(columns, 1)


def _log_prob(logits: Tensor, answer: tuple[int, ...], end: int) -> Tensor:
    log_probs = logits.double().log_softmax(-1)
    return sum(log_probs[:, end - 1 + k, token] for k, token in enumerate(answer))


def _side_by_side(hooks: Sequence[Sequence[Hook]]) -> list:
    """Hooks of many edges as hooks of one forward: row i feels those of edge i alone."""
    by_name: dict[str, list[tuple[int, Change]]] = defaultdict(list)
    for row, mine in enumerate(hooks):
        for name, change in mine:
            by_name[name].append((row, change))

    def hook(changes: list[tuple[int, Change]]) -> Callable[[Tensor, Any], Tensor]:
        def apply(x: Tensor, hook: Any) -> Tensor:
            rows = list(x.split(1))
            for row, change in changes:
                rows[row] = change(rows[row])
            return torch.cat(rows)

        return apply

    # a name's changes run in the order given, so z is restored after its inputs changed
    return [(name, hook(changes)) for name, changes in by_name.items()]


def sent(bridge: TransformerBridge, cache: Any, name: str) -> Tensor:
    """What a component adds to the stream in a cached run, [B, T, d]."""
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


def edge_hooks(bridge: TransformerBridge, kept: Any, edge: Edge, delta: Tensor) -> list[Hook]:
    """What one edge's forward changes: its receiver's input, by ``delta`` [B, T, d]."""
    target = parse(edge.target)
    if edge.target == LOGITS:
        last = len(bridge.blocks) - 1
        return [(f"blocks.{last}.hook_resid_post", lambda x: x + delta)]
    block = f"blocks.{target.layer}"
    if target.kind == "mlp":
        return [(f"{block}.hook_mlp_in", lambda x: x + delta)]
    letters = "qkv" if edge.input == "all" else edge.input

    def add(x: Tensor) -> Tensor:
        if target.kind == "attn" or edge.input == "all":
            return x + delta[:, :, None]
        x = x.clone()
        x[:, :, target.head] += delta
        return x

    hooks: list[Hook] = [(f"{block}.attn.hook_{letter}_input", add) for letter in letters]
    if target.kind == "head" and edge.input == "all":
        hooks.append(
            (f"{block}.attn.hook_z", _only(bridge, target.head, kept[f"{block}.attn.hook_z"]))
        )
    return hooks


def _only(bridge: TransformerBridge, head: int | None, clean: Tensor) -> Change:
    """Let one head's change through and put the clean values back everywhere else."""

    def keep(z: Tensor) -> Tensor:
        by_head = (*z.shape[:2], bridge.cfg.n_heads, -1)
        out = clean.reshape(by_head).clone()
        out[:, :, head] = z.reshape(by_head)[:, :, head]
        return out.reshape(z.shape)

    return keep


def library_eap(bridge: TransformerBridge, prompts: Sequence[Encoded]) -> dict[Edge, float]:
    """The library's own edge attribution, split inputs, mean over prompts.

    It takes gradients at its corrupt run and points towards its clean one, so the two change
    places here. Prompts of one length, answers of one token; no grouped keys, no post-norms.
    """
    from transformer_lens.tools.analysis.attribution_patching import (
        EdgeAttributionConfig,
        attribution_patch,
    )

    totals: dict[Edge, float] = defaultdict(float)
    for prompt in prompts:
        answer, wrong = prompt.answer[0], prompt.wrong_answer[0]
        found = attribution_patch(
            bridge,
            torch.tensor([prompt.corrupt]),
            torch.tensor([prompt.prompt]),
            lambda logits, a=answer, w=wrong: logits[0, -1, a] - logits[0, -1, w],
            EdgeAttributionConfig(granularity="edge"),
        )
        for (writer, reader), score in found.edge_scores.items():
            totals[_named_edge(writer, reader)] += float(score) / len(prompts)
    return totals


def _named_edge(writer: Any, reader: Any) -> Edge:
    source = {
        "embed": EMBED,
        "attn_head_out": f"L{writer.layer}H{writer.head}",
        "mlp_out": f"L{writer.layer}_MLP",
    }[writer.kind]
    letter = reader.kind[0]
    if reader.kind == "logits":
        return Edge(source, LOGITS, "in")
    if reader.kind == "mlp_in":
        return Edge(source, f"L{reader.layer}_MLP", "in")
    kind = "H" if letter == "q" else "KV"
    return Edge(source, f"L{reader.layer}{kind}{reader.head}", letter)
