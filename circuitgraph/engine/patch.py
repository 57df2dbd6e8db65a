"""The patched sums of one batch of prompts, shared by every estimator of edge effects.

All estimators need the clean run, what patching adds to each sender, and the receivers in
the order of ``components.effect_edges``; positions before the first difference keep their
clean keys and values for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.contributions import contributions
from circuitgraph.engine.decision import decide
from circuitgraph.engine.forward import (
    Span,
    Trace,
    attend,
    embed,
    forward,
    mlp,
    post,
    project,
    run_block,
    visible,
)
from circuitgraph.engine.model import Attention, Block, Model, for_rows
from circuitgraph.engine.norms import JointNorm
from circuitgraph.engine.receivers import attention_components, block_components

CHUNK_ROWS = 1024
"""Positions recomputed at once: wide enough for matrix products, small enough for the cache."""

DEVICE_ROWS = 1 << 14
"""Positions of single edges on a GPU, which is done with small products before the next are asked
for."""


def usual_rows(device: torch.device | str) -> int:
    """Positions that effects of single edges recompute at once on a device."""
    return CHUNK_ROWS if torch.device(device).type == "cpu" else DEVICE_ROWS


@dataclass(frozen=True)
class Patch:
    """What the receivers of one batch share.

    Attributes
    ----------
    clean : Trace
    deltas : [S, R, W, d]
        What patching adds to each sender; 0 off the prompt.
    base, total : [n]
        Decision of the clean run, and of the run with every sender patched for every receiver.
    changed : [S, n]
        1 where a sender's contribution to a prompt differs, else 0.
    start : [R, T, d]
        The patched run's embedding at all clean positions.
    prefix : int
        Number of clean positions in front of the windows.
    chunk_rows : int
        Positions recomputed at once.
    """

    model: Model
    batch: Batch
    clean: Trace
    deltas: Tensor
    base: Tensor
    total: Tensor
    changed: Tensor
    start: Tensor
    prefix: int
    chunk_rows: int = field(default=CHUNK_ROWS)

    def at_window(self, x: Tensor) -> Tensor:
        """Clean values [R, T, …] at the window positions [R, W, …]."""
        return gather(x, self.batch.index)

    def is_last(self, layer: int) -> bool:
        """Whether only the scored positions matter, as in the last block."""
        return layer == self.model.layers - 1

    def at_scored(self, x: Tensor, layer: int) -> Tensor:
        """x [N, R, W, …] at the positions block ``layer`` must still compute."""
        if not self.is_last(layer):
            return x
        rows = torch.arange(x.shape[1], device=x.device)[:, None]
        return x[:, rows, self.batch.read - self.batch.start[:, None]]

    def queries(self, layer: int) -> Tensor:
        """Positions that ``at_scored`` keeps [R, Q], clipped to what exists."""
        return self.batch.read if self.is_last(layer) else self.batch.index

    def query_positions(self, layer: int) -> Tensor:
        """The same, unclipped: a row that ended early must not see itself twice."""
        return self.batch.read if self.is_last(layer) else self.batch.positions

    def counted(self, layer: int) -> Tensor:
        """1 where ``queries`` names a position for the first time, else 0: [R, Q]."""
        if self.is_last(layer):
            again = self.batch.read[:, 1:] == self.batch.read[:, :-1]
            return torch.nn.functional.pad((~again).float(), (1, 0), value=1.0)
        return (self.batch.positions < self.batch.clean.shape[1]).float()

    def chunks(self, senders: Tensor) -> Iterator[Tensor]:
        """Senders in slices of at most ``chunk_rows`` positions."""
        size = chunk_size(self.batch, self.chunk_rows)
        return iter(senders.split(size) if len(senders) else ())


@dataclass(frozen=True)
class Window(Span):
    """The positions that one block must compute again, behind a clean prefix."""

    patch: Patch
    layer: int

    @classmethod
    def of(cls, patch: Patch, layer: int) -> Window:
        """Of block ``layer``: in the last one only the scored positions go on."""
        return cls(patch.batch.index, patch.queries(layer), patch, layer)

    def at_queries(self, x: Tensor) -> Tensor:
        """x [N, R, W, d] at the positions that go on."""
        return self.patch.at_scored(x, self.layer)

    def attend(self, model: Model, attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """z [N, R, Q, H, e] over the clean prefix and the window."""
        return window_attention(self.patch, self.layer, q, k, v)


def chunk_size(batch: Batch, chunk_rows: int = CHUNK_ROWS) -> int:
    """Senders recomputed at once."""
    return max(1, chunk_rows // batch.index.numel())


@torch.no_grad()
def make_patch(
    model: Model,
    batch: Batch,
    granularity: Granularity = "head",
    ablated: Tensor | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> Patch:
    """Run clean and corrupt once, and keep what patching needs.

    ``ablated`` replaces each sender's contribution: [S, d] (mean or zero ablation) or [S, R, T, d]
    (another model's run on the clean rows), with a batch made with ``whole=True``; None takes the
    corrupt run's. ``chunk_rows`` positions are recomputed at once: memory and speed, never results.
    """
    any_rows, model = model, for_rows(model, batch.ends)
    clean = forward(model, batch.clean)
    senders = contributions(model, clean, batch.index, granularity)
    if ablated is None:
        corrupt = forward(any_rows, batch.corrupt, batch.corrupt_ends)
        deltas = contributions(model, corrupt, batch.corrupt_index, granularity).sub_(senders)
        start, final = _at_partners(batch, corrupt.embed, clean.embed), corrupt.final
    else:
        everywhere = ablated[:, None, None, :] if ablated.dim() == 2 else ablated
        deltas = senders.neg_().add_(everywhere)
        start, final = _ablated_run(model, batch, ablated, granularity)
    deltas.mul_(batch.patched)
    return Patch(
        model=model,
        batch=batch,
        clean=clean,
        deltas=deltas,
        base=decide(model, gather(clean.final, batch.read), batch),
        total=decide(model, gather(final, batch.corrupt_read), batch),
        changed=changed(deltas, batch),
        start=start,
        prefix=int(batch.start.max()),
        chunk_rows=chunk_rows,
    )


def _at_partners(batch: Batch, corrupt: Tensor, clean: Tensor) -> Tensor:
    """Corrupt values [R, T', d] where the clean [R, T, d] stand; those where none is a partner."""
    there = gather(corrupt, batch.partners.clamp_min(0))
    return torch.where((batch.partners >= 0)[..., None], there, clean)


def changed(deltas: Tensor, batch: Batch) -> Tensor:
    """1 where a sender's contribution to a prompt differs, else 0 [S, n]."""
    return batch.by_prompt((deltas != 0).any(-1).any(-1).float()).clamp_max(1)


def attention_change(
    patch: Patch, layer: int, deltas: Tensor, letters: str, alone: bool = False
) -> Tensor:
    """Change of every head's z when ``letters`` read x + delta: [N, R, Q, H, e].

    ``alone``: each head's as if the other heads read the clean input.
    """
    model, clean = patch.model, patch.clean.layers[layer]
    attention = model.blocks[layer].attention
    before = patch.at_window(clean.pre)
    normed = attention.norm(before + deltas)
    others = None
    if alone and isinstance(attention.q_norm, JointNorm):
        others = attention.norm(before)
    q = k = v = None
    if "q" in letters:
        q = queries(patch, layer, normed, others)
    if "k" in letters:
        k = project(model, attention, "k", normed, patch.batch.index, others)
    if "v" in letters:
        v = project(model, attention, "v", normed, patch.batch.index)
    index = patch.queries(layer)
    q = gather(clean.q, index).expand(len(deltas), *_tail(clean.q, index)) if q is None else q
    z = window_attention(patch, layer, q, k, v)
    return z - gather(clean.z, index)


def _tail(x: Tensor, index: Tensor) -> tuple[int, ...]:
    return (*index.shape, *x.shape[2:])


def queries(patch: Patch, layer: int, normed: Tensor, others: Tensor | None = None) -> Tensor:
    """q of normed window inputs [N, R, W, d] at the positions block ``layer`` still computes.

    ``others``: normed clean inputs [R, W, d]; see ``project``.
    """
    attention = patch.model.blocks[layer].attention
    index = patch.queries(layer)
    clean = None if others is None else patch.at_scored(others[None], layer)[0]
    return project(patch.model, attention, "q", patch.at_scored(normed, layer), index, clean)


def window_attention(
    patch: Patch, layer: int, q: Tensor, k: Tensor | None, v: Tensor | None
) -> Tensor:
    """Attention of q [N, R, Q, H, e] over clean prefix and window; None is clean."""
    clean, attention = patch.clean.layers[layer], patch.model.blocks[layer].attention
    copies, rows = q.shape[:2]
    keys = _with_prefix(patch, clean.k, k, copies)
    values = _with_prefix(patch, clean.v, v, copies)
    seen = _seen(patch, layer, attention).expand(copies, *[-1] * 4).flatten(0, 1)
    z = attend(patch.model, attention, q.flatten(0, 1), keys, values, seen)
    return z.unflatten(0, (copies, rows))


def _with_prefix(patch: Patch, clean: Tensor, window: Tensor | None, copies: int) -> Tensor:
    if window is None:
        window = patch.at_window(clean).expand(copies, *_tail(clean, patch.batch.index))
    if patch.prefix:
        before = clean[:, : patch.prefix].expand(copies, -1, patch.prefix, -1, -1)
        window = torch.cat([before, window], 2)
    return window.flatten(0, 1)


def _seen(patch: Patch, layer: int, attention: Attention) -> Tensor:
    """Mask [R, 1, Q, prefix + W]; the prefix ends where a row's own window begins."""
    batch = patch.batch
    before = torch.arange(patch.prefix, device=batch.start.device).expand(len(batch.start), -1)
    keys = torch.cat([before, batch.positions], 1)
    seen = visible(patch.query_positions(layer), keys, attention.window)
    seen[..., : patch.prefix] &= (before < batch.start[:, None])[:, None, None, :]
    return seen


def mlp_change(patch: Patch, layer: int, deltas: Tensor) -> Tensor:
    """Change of the MLP's output when delta is added to its input: [N, R, Q, d]."""
    model = patch.model
    read = gather(patch.clean.layers[layer].read, patch.queries(layer))
    return mlp(model, model.blocks[layer], read + patch.at_scored(deltas, layer))


def logit_effects(patch: Patch, senders: Tensor) -> Tensor:
    """Effects [N, n] of edges into ``LOGITS``: nothing is downstream of them."""
    last = patch.model.layers - 1
    final = gather(patch.clean.final, patch.batch.read)
    deltas = patch.at_scored(patch.deltas[senders], last)
    return decide(patch.model, final + deltas, patch.batch) - patch.base


def _ablated_run(
    model: Model, batch: Batch, ablated: Tensor, granularity: Granularity
) -> tuple[Tensor, Tensor]:
    """First and final stream [R, T, d] when every prompt position holds ablated contributions.

    Positions of the answers recompute from what the patched ones left.
    """
    span = Span.whole(batch.clean)
    inside = (span.keys < batch.prompt_end[:, None])[..., None]
    stream = ablated[0]
    start = x = torch.where(inside, stream, embed(model, batch.clean))
    own = attention_components(model, granularity)
    sizes = block_components(model, granularity)
    for block, parts in zip(model.blocks, ablated[1:].split(sizes), strict=True):
        middle = stream + parts[:own].sum(0)
        if granularity == "head" and block.attention.out.bias is not None:
            middle = middle + block.attention.out.bias
        stream = middle + parts[own:].sum(0)
        x = _ablated_block(model, block, x, span, inside, (middle, stream))
    return start, x


def _ablated_block(
    model: Model,
    block: Block,
    x: Tensor,
    span: Span,
    inside: Tensor,
    ablated: tuple[Tensor, Tensor],
) -> Tensor:
    """One block whose stream is replaced, after attention and after the MLP."""

    def write(z: Tensor, raw: Tensor) -> Tensor:
        return torch.where(inside, ablated[0], x + post(raw, block.attention.post))

    trace = run_block(model, block, x, span, write=write)
    return torch.where(inside, ablated[1], trace.mid + trace.mlp)
