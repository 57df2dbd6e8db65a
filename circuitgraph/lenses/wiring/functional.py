"""Channels by function: responses to one change of input, in two models and under random updates.

δ = f(x + D) − f(x) of every receiver f of A and of B, with one common x (the mean of both
models' clean streams) and one common D (the mean of the sender's contributions, corrupt −
clean). f is what the receiver adds to the stream (heads: their own part, with a post-norm's
scale frozen; in the last block only where the decision is read), or the logits. In float64:
channels are differences of nearly equal numbers.

There is no closed form for how such a channel changes with the weights: the small difference of
large channels, or one behind a sharp softmax, changes more than others under any update. So random
updates are drawn and measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.contributions import contributions
from circuitgraph.engine.forward import (
    LayerTrace,
    Span,
    Trace,
    logits,
    run_block,
    stream_reader,
)
from circuitgraph.engine.model import Block, Linear, Model, for_rows
from circuitgraph.engine.patch import Patch, attention_change, mlp_change
from circuitgraph.engine.receivers import Receiver
from circuitgraph.lenses.wiring.read_points import ReadPoint, read_points
from circuitgraph.lenses.wiring.signals import BatchRuns

WEAK = 1e-5
"""A channel under this part of what the receiver says without it cannot be judged."""
RANK = 8


@dataclass(frozen=True, eq=False)
class FunctionalChannels:
    """Two models in float64, with heads of equal function under one name."""

    models: tuple[Model, Model]
    granularity: Granularity
    points: tuple[ReadPoint, ...]

    @classmethod
    def of(cls, a: Model, b: Model, granularity: Granularity, inputs: Inputs) -> FunctionalChannels:
        """For models whose heads are matched already; see ``heads.aligned``."""
        return cls((a, b), granularity, tuple(read_points(a, granularity, inputs)))

    @torch.no_grad()
    def measure(self, runs: BatchRuns) -> dict[str, np.ndarray]:
        """Arrays of one batch, [R × edges].

        ``square`` = ‖δ_B − δ_A‖², ``norm_a``, ``norm_b`` = ‖δ‖, ``level`` = mean ‖f‖, as means
        over positions; ``delta`` = ‖δ_B − δ_A‖ / (‖δ_A‖ + ‖δ_B‖), NaN where the channel is
        under 1e-5 of ‖f‖.
        """
        common, deltas = _common(runs.clean), self._deltas(runs)
        patches = [_patch(model, runs.batch, common, deltas) for model in self.models]
        columns: dict[str, list[Tensor]] = {}
        for point in self.points:
            senders = torch.arange(point.senders)
            for receivers in _together(point):
                for name, value in _compared(patches, point, receivers, senders).items():
                    columns.setdefault(name, []).append(value)
        return {name: torch.cat(parts).T.cpu().numpy() for name, parts in columns.items()}

    def _deltas(self, runs: BatchRuns) -> Tensor:
        """D of every sender [S, R, W, d]."""
        total: Tensor | None = None
        for side, model in enumerate(self.models):
            added = contributions(model, runs.clean[side], runs.batch.index, self.granularity)
            if runs.corrupt is not None:
                there = runs.batch.corrupt_index
                added = contributions(model, runs.corrupt[side], there, self.granularity) - added
            total = added if total is None else total + added
        assert total is not None
        return total / 2 * runs.batch.patched.double()


def _common(clean: tuple[Trace, Trace]) -> Trace:
    """The mean of both residual streams; activations inside blocks stay each model's own."""
    a, b = clean
    layers = tuple(
        LayerTrace(
            **vars(x) | {n: (getattr(x, n) + getattr(y, n)) / 2 for n in ("pre", "mid", "read")}
        )
        for x, y in zip(a.layers, b.layers, strict=True)
    )
    return Trace((a.embed + b.embed) / 2, layers, (a.final + b.final) / 2)


def _patch(model: Model, batch: Batch, common: Trace, deltas: Tensor) -> Patch:
    """One model's blocks run on the common stream, each by itself."""
    model = for_rows(model, batch.ends)
    span = Span.whole(batch.clean)
    layers = tuple(
        _run_apart(model, block, layer, span)
        for block, layer in zip(model.blocks, common.layers, strict=True)
    )
    none = deltas.new_zeros(batch.n)
    trace = Trace(common.embed, layers, common.final)
    return Patch(
        model, batch, trace, deltas, none, none, none, common.embed, int(batch.start.max())
    )


def _run_apart(model: Model, block: Block, at: LayerTrace, span: Span) -> LayerTrace:
    """Attention and MLP of a block, each on its given stream."""
    stream_read = stream_reader(model, block.attention, at.pre, span)

    def read(name: str, stream: Tensor) -> Tensor:
        return at.read if name == "mlp" else stream_read(name, stream)

    return replace(run_block(model, block, at.pre, span, read=read), mid=at.mid, read=at.read)


def _together(point: ReadPoint) -> Iterator[tuple[Receiver, ...]]:
    """Receivers of a point that one pass serves: those with the same letters."""
    letters = dict.fromkeys(receiver.letters for receiver in point.receivers)
    for letter in letters:
        yield tuple(r for r in point.receivers if r.letters == letter)


def _compared(
    patches: Sequence[Patch], point: ReadPoint, receivers: tuple[Receiver, ...], senders: Tensor
) -> dict[str, Tensor]:
    """Arrays [receivers · senders, R] of a pass through both models."""
    inside = _inside(patches[0], point)
    levels = [_square(_level(p, point, receivers), inside) for p in patches]
    level = (levels[0].sqrt() + levels[1].sqrt())[:, None] / 2
    parts: list[Tensor] = []
    for chunk in patches[0].chunks(senders):
        a, b = (_change(p, point, receivers, chunk) for p in patches)
        parts.append(torch.stack([_square(x, inside) for x in (a, b, b - a)]))
    norm_a, norm_b, change = torch.cat(parts, 2).sqrt()
    measurable = (norm_a + norm_b) / 2 >= WEAK * level
    delta = torch.where(measurable & (change > 0), change / (norm_a + norm_b), 0.0)
    delta = torch.where(measurable, delta, torch.where(norm_a + norm_b > 0, torch.nan, 0.0))
    found = {"norm_a": norm_a, "norm_b": norm_b, "square": change.pow(2), "delta": delta}
    found["level"] = level.expand_as(norm_a)
    return {name: value.flatten(0, 1) for name, value in found.items()}


def _inside(patch: Patch, point: ReadPoint) -> Tensor:
    """Weights of positions, [R, Q, 1]: 1 over the number of the prompt's own, 0 elsewhere."""
    batch = patch.batch
    if point.layer >= patch.model.layers - 1:
        return batch.read.new_ones(*batch.read.shape, 1, dtype=torch.float64)
    inside = (batch.positions < batch.prompt_end[:, None]).double()[..., None]
    return inside / inside.sum(1, keepdim=True)


def _square(x: Tensor, inside: Tensor) -> Tensor:
    """Mean over positions of ‖x‖²: [..., R, Q, d] -> [..., R]."""
    return (x.pow(2).sum(-1, keepdim=True) * inside).sum((-1, -2))


def _level(patch: Patch, point: ReadPoint, receivers: tuple[Receiver, ...]) -> Tensor:
    """f(x) of every receiver [receivers, R, Q, d]."""
    model, batch = patch.model, patch.batch
    if point.layer == model.layers:
        return logits(model, gather(patch.clean.final, batch.read))[None]
    layer, index = patch.clean.layers[point.layer], patch.queries(point.layer)
    if not point.attention:
        return gather(layer.mlp, index)[None]
    return _added(patch, point.layer, receivers, gather(layer.z, index))


def _change(
    patch: Patch, point: ReadPoint, receivers: tuple[Receiver, ...], senders: Tensor
) -> Tensor:
    """δ of every receiver and some senders, [receivers, N, R, Q, d]."""
    model, deltas = patch.model, patch.deltas[senders]
    if point.layer == model.layers:
        final = gather(patch.clean.final, patch.batch.read)
        patched = final + patch.at_scored(deltas, model.layers - 1)
        return (logits(model, patched) - logits(model, final))[None]
    if not point.attention:
        clean = gather(patch.clean.layers[point.layer].mlp, patch.queries(point.layer))
        return (mlp_change(patch, point.layer, deltas) - clean)[None]
    how = receivers[0].letters, receivers[0].is_alone(model)
    change = attention_change(patch, point.layer, deltas, *how)
    return _added(patch, point.layer, receivers, change)


def _added(patch: Patch, number: int, receivers: tuple[Receiver, ...], z: Tensor) -> Tensor:
    """Receivers' contributions for z [..., R, Q, H, e]: [receivers, ..., R, Q, d]."""
    model = patch.model
    attention = model.blocks[number].attention
    weight = attention.out.weight.unflatten(0, (model.heads, model.head_size))
    parts = [
        torch.einsum("...he,hed->...d", z[..., r.heads, :], weight[r.heads]) for r in receivers
    ]
    added = torch.stack(parts)
    if attention.post is None:
        return added
    raw = gather(patch.clean.layers[number].raw, patch.queries(number))
    return attention.post.linear(added, attention.post.scale(raw))


def drifted(model: Model, size: float, seed: int) -> Model:
    """The model with a random update of rank 8 on every matrix, embeddings left out.

    Parameters
    ----------
    size : float
        ‖ΔW‖ / ‖W‖ of every matrix.
    seed : int
        Of the directions; the same for every size.
    """
    generator = torch.Generator().manual_seed(seed)
    blocks = tuple(_block(block, size, generator) for block in model.blocks)
    return replace(model, blocks=blocks, unembed=_moved(model.unembed, size, generator))


def _block(block: Block, size: float, generator: torch.Generator) -> Block:
    attention, mlp = block.attention, block.one_mlp
    q, k, v, out = (
        _linear(linear, size, generator)
        for linear in (attention.q, attention.k, attention.v, attention.out)
    )
    gate = None if mlp.gate is None else _linear(mlp.gate, size, generator)
    up, down = _linear(mlp.up, size, generator), _linear(mlp.down, size, generator)
    return replace(
        block,
        attention=replace(attention, q=q, k=k, v=v, out=out),
        mlp=replace(mlp, gate=gate, up=up, down=down),
    )


def _linear(linear: Linear, size: float, generator: torch.Generator) -> Linear:
    return replace(linear, weight=_moved(linear.weight, size, generator))


def _moved(weight: Tensor, size: float, generator: torch.Generator) -> Tensor:
    rank = min(RANK, *weight.shape)
    left, right = (
        torch.randn(side, rank, generator=generator, dtype=torch.float64) for side in weight.shape
    )
    update = (left @ right.T).to(weight)
    return weight + update * (size * weight.norm() / update.norm())
