"""Checks of every hooked model before it is measured.

Contributions sum to the residual stream; patching a receiver's input through hooks equals
patching the stream; and restoring values through hooks restores the run. There are too many
families without a reader to read their code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.base.errors import InputError
from circuitgraph.engine.bridge.patch import (
    add_to_stream,
    patch_attention_input,
    patch_mlp_input,
    put,
)
from circuitgraph.engine.bridge.wrapped import (
    LETTERS,
    Bridge,
    BridgeTrace,
    Hook,
    bridge_contributions,
    hook_name,
    logits_of,
    trace_of,
)

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Check:
    """One check: the meaning of a failure, and the relative error of a model."""

    failing: str
    run: Callable[[Bridge, Tensor, BridgeTrace], float]


def worst(bridge: Bridge, probes: Sequence[Tensor]) -> tuple[float, str]:
    """The largest relative error of all checks, and its meaning.

    All checks run on the first probe [1, T], the first check on all.
    """
    errors = []
    for number, tokens in enumerate(probes):
        trace = trace_of(bridge.hooked, bridge.layers, tokens)
        for check in CHECKS[: None if number == 0 else 1]:
            errors.append((check.run(bridge, tokens, trace), check.failing))
    # Of equals the first: 1 means failed, and reasons are listed before what comes of them.
    return max(errors, key=lambda error: (error[0] != error[0], min(error[0], 1.0)))


def _sums(bridge: Bridge, tokens: Tensor, trace: BridgeTrace) -> float:
    """Contributions and biases against the stream."""
    index = torch.arange(tokens.shape[1])[None]
    whole = bridge_contributions(bridge, trace, index, "head").sum(0)
    whole = whole + sum(wiring.bias for wiring in bridge.wiring)
    inside = [apart(b.pre + b.attention + b.mlp, b.post) for b in trace.blocks]
    return max(apart(whole, trace.final), *inside)


def _outputs(bridge: Bridge, tokens: Tensor, trace: BridgeTrace) -> float:
    """1 where changing one head only rescales all other heads' outputs."""
    for layer, block in enumerate(trace.blocks):
        if bridge.kv_heads == 1 or block.v.flatten(2).shape[-1] % bridge.kv_heads:
            continue
        v = block.v.flatten(2).unflatten(2, (bridge.kv_heads, -1)).clone()
        v[:, :, 0] *= 3
        z = _place(bridge, tokens, [put(layer, "v", v.view_as(block.v))], layer, "z")
        others = slice(bridge.group, None)
        now, before = (x[:, :, others].flatten(2) for x in (z, block.z))
        factor = (now * before).sum(-1, keepdim=True) / before.pow(2).sum(-1, keepdim=True)
        if apart(now, before) > TOLERANCE and apart(now, factor * before) <= TOLERANCE:
            return 1.0
    return 0.0


def _causal(bridge: Bridge, tokens: Tensor, trace: BridgeTrace) -> float:
    """Logits before the last token, with that token changed."""
    if tokens.shape[1] == 1:
        return 0.0
    other = tokens.clone()
    other[:, -1] = (tokens[:, -1] + 1) % bridge.vocabulary
    return apart(logits_of(bridge.hooked, other)[:, :-1], trace.logits[:, :-1])


def _inputs(bridge: Bridge, tokens: Tensor, trace: BridgeTrace) -> float:
    """Every receiver's input patched, against the stream patched from the start."""
    delta = _noise(trace)
    hooks: list[Hook] = []
    for layer in range(bridge.layers):
        hooks += patch_attention_input(bridge, layer, delta) + patch_mlp_input(bridge, layer, delta)
    hooks += add_to_stream(bridge.layers - 1, "post", delta)
    patched = logits_of(bridge.hooked, tokens, hooks)
    return apart(patched, logits_of(bridge.hooked, tokens, add_to_stream(0, "pre", delta)))


def _letters(bridge: Bridge, tokens: Tensor, trace: BridgeTrace) -> float:
    """z of attention with a patched input and restored q, k and v."""
    delta, off = _noise(trace), []
    for layer, block in enumerate(trace.blocks):
        back = [put(layer, letter, getattr(block, letter)) for letter in LETTERS]
        hooks = [*patch_attention_input(bridge, layer, delta), *back]
        off.append(apart(_place(bridge, tokens, hooks, layer, "z"), block.z))
    return max(off)


def _heads(bridge: Bridge, tokens: Tensor, trace: BridgeTrace) -> float:
    """Logits of a run with attention's input patched and all z restored."""
    delta, off = _noise(trace), []
    for layer, block in enumerate(trace.blocks):
        hooks = [*patch_attention_input(bridge, layer, delta), put(layer, "z", block.z)]
        off.append(apart(logits_of(bridge.hooked, tokens, hooks), trace.logits))
    return max(off)


def _groups(bridge: Bridge, tokens: Tensor, trace: BridgeTrace) -> float:
    """z of the heads outside a key/value group whose values change."""
    if any(b.v.flatten(2).shape[-1] != bridge.kv_heads * b.z.shape[-1] for b in trace.blocks):
        return 1.0
    groups, off = torch.arange(bridge.kv_heads), []
    mine = torch.arange(bridge.heads) // bridge.group == groups[:, None]
    for layer, block in enumerate(trace.blocks):
        v = block.v.flatten(2).unflatten(2, (bridge.kv_heads, -1)).repeat(len(groups), 1, 1, 1)
        v[groups, :, groups] += block.v.abs().max()
        hooks = [put(layer, "v", v.view(len(groups), *block.v.shape[1:]))]
        z = _place(bridge, tokens.expand(len(groups), -1), hooks, layer, "z")
        off_by = (z - block.z).abs().amax((1, 3)) / block.z.abs().max()
        silent = bool((off_by[mine] <= TOLERANCE).any())
        off.append(1.0 if silent else float(off_by[~mine].max()) if len(groups) > 1 else 0.0)
    return max(off)


def refusal(folder: str, family: str, why: str) -> InputError:
    """The message why a family without a reader is not measured."""
    return InputError(
        f"{folder}: model type {family!r} has no reader, and hooks on the library's "
        f"TransformerBridge do not do: {why}; only decoders whose blocks add attention heads "
        "and one MLP to a residual stream can be measured"
    )


def apart(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference relative to the largest value; infinite for other shapes."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30))


def mixes_heads(bridge: Bridge, tokens: Tensor, trace: BridgeTrace) -> bool:
    """Whether a change of one head's q or k changes other heads."""
    for layer, block in enumerate(trace.blocks):
        for letter, parts in (("q", bridge.heads), ("k", bridge.kv_heads)):
            clean = getattr(block, letter)
            if parts == 1 or clean.flatten(2).shape[-1] != parts * block.z.shape[-1]:
                continue
            changed = clean.flatten(2).unflatten(2, (parts, -1)).clone()
            changed[:, :, 0] *= 3
            z = _place(bridge, tokens, [put(layer, letter, changed.view_as(clean))], layer, "z")
            others = slice(bridge.heads // parts, None)
            if apart(z[:, :, others], block.z[:, :, others]) > TOLERANCE:
                return True
    return False


CHECKS = (
    Check("its heads, MLPs and biases do not sum to the residual stream", _sums),
    Check("its readers read more than hooks can reach", _inputs),
    Check("its q, k and v cannot be put back", _letters),
    Check("its heads cannot be put back", _heads),
    Check("a norm over all heads stands before their output matrix", _outputs),
    Check("its key/value groups are not consecutive heads", _groups),
    Check("earlier positions depend on later ones", _causal),
)


def _place(bridge: Bridge, tokens: Tensor, hooks: list[Hook], layer: int, place: str) -> Tensor:
    """Activation at one hook of one block in a run under hooks."""
    kept: list[Tensor] = []
    seen: Hook = (hook_name(layer, place), lambda x, hook: kept.append(x.detach().clone()))
    logits_of(bridge.hooked, tokens, [*hooks, seen])
    return kept[0]


def _noise(trace: BridgeTrace) -> Tensor:
    """A change as large as the embedding, the same every time."""
    start = trace.blocks[0].pre
    seed = torch.Generator().manual_seed(0)
    return torch.randn(start.shape, generator=seed) * start.pow(2).mean().sqrt()
