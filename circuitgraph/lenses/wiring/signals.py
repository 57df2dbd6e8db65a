"""Every sender's activation in two models on the same prompts.

A sender's signal is its inner activation (heads: before the output matrix; MLPs: the hidden
vector; ``EMBED``: the tokens), corrupt − clean where there are pairs, else the clean one, times
a post-norm's scale of the same run. Its write weights are the output matrix with the post-norm's
gain. Biases are excluded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.batches import Batch, gather, make_batch
from circuitgraph.engine.forward import Trace, forward, hidden
from circuitgraph.engine.model import Model, Norm, to_device
from circuitgraph.prompts.tokens import Encoded


@dataclass(frozen=True)
class BatchRuns:
    """Two models' traces of one batch: R rows, one a prompt; W window positions.

    ``corrupt`` is None without pairs.
    """

    batch: Batch
    clean: tuple[Trace, Trace]
    corrupt: tuple[Trace, Trace] | None

    @property
    def inside(self) -> Tensor:
        """Which positions of the window are the prompt's and have a partner, bool [R, W]."""
        return self.batch.patched[..., 0] > 0


@torch.no_grad()
def run_both(models: tuple[Model, Model], prompts: Sequence[Encoded], pairs: bool) -> BatchRuns:
    """Run both models on the prompts without their answers, one row each."""
    alone = [replace(p, answer=(0,), wrong_answer=(0,), also=(), also_wrong=()) for p in prompts]
    batch = to_device(make_batch(alone, whole=not pairs), models[0].embed.device)
    clean = tuple(forward(model, batch.clean, batch.ends) for model in models)
    if not pairs:
        return BatchRuns(batch, (clean[0], clean[1]), None)
    corrupt = tuple(forward(model, batch.corrupt, batch.corrupt_ends) for model in models)
    return BatchRuns(batch, (clean[0], clean[1]), (corrupt[0], corrupt[1]))


def senders(layers: int) -> list[tuple[str, int]]:
    """Groups of senders in order of computation: (kind, layer)."""
    return [("embed", 0)] + [(kind, k) for k in range(layers) for kind in ("attention", "mlp")]


def signal(
    model: Model, side: int, runs: BatchRuns, group: tuple[str, int], granularity: Granularity
) -> Tensor:
    """Inner activations of one group in one model [S, R, W, k], float64; see ``inside``."""
    batch = runs.batch
    found = _inner(model, runs.clean[side], batch.index, group, granularity)
    if runs.corrupt is not None:
        there = _inner(model, runs.corrupt[side], batch.corrupt_index, group, granularity)
        found = there - found
    return found


def _inner(
    model: Model, trace: Trace, index: Tensor, group: tuple[str, int], granularity: Granularity
) -> Tensor:
    kind, number = group
    if kind == "embed":
        return gather(trace.embed, index)[None].double()
    block, layer = model.blocks[number], trace.layers[number]
    if kind == "mlp":
        held = hidden(model, block, gather(layer.read, index))
        return _scaled(held, block.one_mlp.down(held), block.one_mlp.post)[None].double()
    z = gather(layer.z, index).flatten(-2)
    z = _scaled(z, gather(layer.raw, index), block.attention.post).double()
    if granularity == "layer":
        return z[None]
    return z.unflatten(-1, (model.heads, model.head_size)).movedim(-2, 0)


def _scaled(x: Tensor, raw: Tensor, norm: Norm | None) -> Tensor:
    return x if norm is None else x * norm.scale(raw)


def write_weights(model: Model, group: tuple[str, int], granularity: Granularity) -> Tensor | None:
    """Output matrices of a group with post-norm gains [S, k, d], float64; None for ``EMBED``.

    Centred where the receivers' norms centre.
    """
    kind, number = group
    if kind == "embed":
        return None
    block = model.blocks[number]
    branch = block.one_mlp if kind == "mlp" else block.attention
    weight = (block.one_mlp.down if kind == "mlp" else block.attention.out).weight.double()
    if branch.post is not None:
        weight = branch.post.linear(weight)
    if kind == "attention" and granularity == "head":
        weight = weight.unflatten(0, (model.heads, model.head_size))
        return seen(model, weight)
    return seen(model, weight)[None]


def seen(model: Model, x: Tensor) -> Tensor:
    """x [..., d] centred as the receivers' norms do."""
    return x - x.mean(-1, keepdim=True) if model.norm.centre else x
