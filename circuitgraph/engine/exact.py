"""Exact effect of every direct edge.

The effect of an edge is the change of the decision when its receiver reads the
sender's contribution from the corrupt run, the receiver's other inputs and every other
reader stay clean, and everything downstream recomputes (path patching, Goldowsky-Dill
et al. 2023, arXiv:2304.05969).

One full forward an edge is not needed: positions before the first difference keep
their clean keys and values; all receivers of a block share the normed input of a
sender; blocks before the receiver are never run; the last block runs for the judged
positions only; and two rows of the unembedding decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.components import Granularity, Inputs
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.contributions import contributions
from circuitgraph.engine.decision import answer_mass, decide
from circuitgraph.engine.forward import (
    Trace,
    attend,
    embed,
    forward,
    mlp,
    post,
    project,
    visible,
)
from circuitgraph.engine.model import Attention, Model

CHUNK_ROWS = 8192


@dataclass(frozen=True)
class Effects:
    """Per-prompt results for one batch of n prompts.

    Attributes:
        effects: [n, edges], edges in the order of ``components.effect_edges``.
        totals: decision(every sender patched for every reader) − decision(clean) [n].
        decisions: clean decision [n].
        mass: probability of the two answers in the clean run [n].
    """

    effects: Tensor
    totals: Tensor
    decisions: Tensor
    mass: Tensor


@dataclass(frozen=True)
class Patch:
    """All that the receivers of one batch share.

    Attributes:
        clean: trace of the clean run.
        deltas: what patching adds to each sender [S, R, W, d]; 0 off the prompt.
        base: clean decision [n].
        prefix: number of clean positions in front of the windows.
    """

    model: Model
    batch: Batch
    clean: Trace
    deltas: Tensor
    base: Tensor
    prefix: int

    def at_window(self, x: Tensor) -> Tensor:
        """Clean values [R, T, …] at the window positions [R, W, …]."""
        return gather(x, self.batch.index)

    def is_last(self, layer: int) -> bool:
        """Only the judged positions matter in the last block."""
        return layer == self.model.layers - 1

    def judged(self, x: Tensor, layer: int) -> Tensor:
        """x [N, R, W, …] at the positions block ``layer`` must still compute."""
        if not self.is_last(layer):
            return x
        rows = torch.arange(x.shape[1], device=x.device)[:, None]
        return x[:, rows, self.batch.read - self.batch.start[:, None]]

    def queries(self, layer: int) -> Tensor:
        """Positions that ``judged`` keeps [R, Q], clipped to what exists."""
        return self.batch.read if self.is_last(layer) else self.batch.index

    def query_positions(self, layer: int) -> Tensor:
        """The same, unclipped: a row that ended early must not see itself twice."""
        return self.batch.read if self.is_last(layer) else self.batch.positions


@torch.no_grad()
def exact_effects(
    model: Model,
    batch: Batch,
    granularity: Granularity = "head",
    inputs: Inputs = "joint",
    ablated: Tensor | None = None,
) -> Effects:
    """Exact effect of every edge for every prompt of a batch.

    Args:
        batch: made with ``whole=True`` when ``ablated`` is given.
        granularity: of senders and attention receivers.
        inputs: replace q, k and v of a head together, or one at a time.
        ablated: contribution to put in place of each sender's, [S, d] (mean or zero
            ablation); None takes the corrupt run's.
    """
    clean = forward(model, batch.clean)
    senders = contributions(model, clean, batch.index, granularity)
    if ablated is None:
        corrupt = forward(model, batch.corrupt)
        deltas = contributions(model, corrupt, batch.index, granularity).sub_(senders)
        total = corrupt.final
    else:
        deltas = ablated[:, None, None, :] - senders
        total = _ablated_run(model, batch, ablated, granularity)
    base = decide(model, gather(clean.final, batch.read), batch)
    prefix = int(batch.start.max())
    patch = Patch(model, batch, clean, deltas.mul_(batch.patched), base, prefix)
    moved = _moved(patch.deltas, batch)
    columns = [column * moved[: len(column)] for column in _columns(patch, granularity, inputs)]
    return Effects(
        effects=torch.cat(columns).T.contiguous(),
        totals=decide(model, gather(total, batch.read), batch) - base,
        decisions=base,
        mass=answer_mass(model, clean.final, batch),
    )


def _moved(deltas: Tensor, batch: Batch) -> Tensor:
    """1 where a sender says something else to a prompt [S, n]; 0 leaves no rounding behind."""
    by_row = (deltas != 0).any(-1).any(-1).float()
    return by_row.new_zeros(len(deltas), batch.n).index_add(1, batch.owner, by_row).clamp_max(1)


def _columns(patch: Patch, granularity: Granularity, inputs: Inputs) -> Iterator[Tensor]:
    """Effects [senders, n] of one receiver after the other."""
    own = _own(patch.model, granularity)
    senders = 1
    for layer in range(patch.model.layers):
        yield from _attention_effects(patch, layer, senders, granularity, inputs)
        senders += own
        yield _mlp_effects(patch, layer, senders)
        senders += 1
    yield _logit_effects(patch)


def _attention_effects(
    patch: Patch, layer: int, senders: int, granularity: Granularity, inputs: Inputs
) -> list[Tensor]:
    letters = ("qkv",) if inputs == "joint" else ("q", "k", "v")
    effects = []
    for letter in letters:
        heads = _receiver_heads(patch.model, granularity, letter)
        columns: list[list[Tensor]] = [[] for _ in heads]
        for deltas in _chunks(patch, senders):
            change = _attention_change(patch, layer, deltas, letter)
            for column, part in zip(columns, heads, strict=True):
                column.append(_through_attention(patch, layer, change[..., part, :], part))
        effects += [torch.cat(column) for column in columns]
    return effects


def _receiver_heads(model: Model, granularity: Granularity, letter: str) -> list[slice]:
    """Query heads that each attention receiver speaks through."""
    if granularity == "layer":
        return [slice(0, model.heads)]
    size = model.group if letter in ("k", "v") else 1
    return [slice(h, h + size) for h in range(0, model.heads, size)]


def _chunks(patch: Patch, senders: int) -> Iterator[Tensor]:
    rows = patch.batch.index.numel()
    return iter(patch.deltas[:senders].split(max(1, CHUNK_ROWS // rows)))


def _attention_change(patch: Patch, layer: int, deltas: Tensor, letters: str) -> Tensor:
    """Change of every head's z when ``letters`` read x + delta: [N, R, Q, H, e]."""
    model, clean = patch.model, patch.clean.layers[layer]
    attention = model.blocks[layer].attention
    normed = attention.norm(patch.at_window(clean.pre) + deltas)
    q = k = v = None
    if "q" in letters:
        q = _queries(patch, layer, normed)
    if "k" in letters:
        k = project(model, attention, "k", normed, patch.batch.index)
    if "v" in letters:
        v = project(model, attention, "v", normed, patch.batch.index)
    index = patch.queries(layer)
    q = gather(clean.q, index).expand(len(deltas), *_tail(clean.q, index)) if q is None else q
    z = _window_attention(patch, layer, q, k, v)
    return z - gather(clean.z, index)


def _tail(x: Tensor, index: Tensor) -> tuple[int, ...]:
    return (*index.shape, *x.shape[2:])


def _queries(patch: Patch, layer: int, normed: Tensor) -> Tensor:
    attention = patch.model.blocks[layer].attention
    index = patch.queries(layer)
    return project(patch.model, attention, "q", patch.judged(normed, layer), index)


def _window_attention(
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


def _through_attention(patch: Patch, layer: int, change: Tensor, part: slice) -> Tensor:
    """Effects [N, n] of a change of some heads' z [N, R, Q, heads, e] in one block."""
    model, clean = patch.model, patch.clean.layers[layer]
    attention, size = model.blocks[layer].attention, model.head_size
    added = change.flatten(-2) @ attention.out.weight[part.start * size : part.stop * size]
    index = patch.queries(layer)
    if attention.post is None:
        mid = gather(clean.mid, index) + added
    else:
        mid = gather(clean.pre, index) + attention.post(gather(clean.raw, index) + added)
    return _resume(patch, layer + 1, mid + mlp(model, model.blocks[layer], mid))


def _mlp_effects(patch: Patch, layer: int, senders: int) -> Tensor:
    model, clean = patch.model, patch.clean.layers[layer]
    index = patch.queries(layer)
    mid = gather(clean.mid, index)
    effects = []
    for deltas in _chunks(patch, senders):
        read = mid + patch.judged(deltas, layer)
        out = mid + mlp(model, model.blocks[layer], read)
        effects.append(_resume(patch, layer + 1, out))
    return torch.cat(effects)


def _logit_effects(patch: Patch) -> Tensor:
    last = patch.model.layers - 1
    final = gather(patch.clean.final, patch.batch.read)
    return decide(patch.model, final + patch.judged(patch.deltas, last), patch.batch) - patch.base


def _resume(patch: Patch, layer: int, x: Tensor) -> Tensor:
    """Effects [N, n] of a residual [N, R, W, d] entering block ``layer``."""
    model = patch.model
    for current in range(layer, model.layers):
        x = _run_block(patch, current, x)
    return decide(model, x, patch.batch) - patch.base


def _run_block(patch: Patch, layer: int, x: Tensor) -> Tensor:
    model, block = patch.model, patch.model.blocks[layer]
    attention = block.attention
    normed = attention.norm(x)
    k, v = (project(model, attention, name, normed, patch.batch.index) for name in "kv")
    z = _window_attention(patch, layer, _queries(patch, layer, normed), k, v)
    mid = patch.judged(x, layer) + post(attention.out(z.flatten(-2)), attention.post)
    return mid + mlp(model, block, mid)


def _ablated_run(model: Model, batch: Batch, ablated: Tensor, granularity: Granularity) -> Tensor:
    """Final residual when every prompt position holds ablated contributions [R, T, d].

    The positions of the answers recompute and read what the patched ones left.
    """
    rows, length = batch.clean.shape
    positions = torch.arange(length).expand(rows, length)
    inside = (positions < batch.prompt_end[:, None])[..., None]
    stream = ablated[0]
    x = torch.where(inside, stream, embed(model, batch.clean))
    after_attention = ablated[1:].split(_own(model, granularity) + 1)
    for block, parts in zip(model.blocks, after_attention, strict=True):
        attention = block.attention
        raw = attention.out(_self_attention(model, attention, x, positions).flatten(-2))
        stream = stream + parts[:-1].sum(0)
        if granularity == "head" and attention.out.bias is not None:
            stream = stream + attention.out.bias
        x = torch.where(inside, stream, x + post(raw, attention.post))
        stream = stream + parts[-1]
        x = torch.where(inside, stream, x + mlp(model, block, x))
    return x


def _self_attention(model: Model, attention: Attention, x: Tensor, positions: Tensor) -> Tensor:
    normed = attention.norm(x)
    q, k, v = (project(model, attention, name, normed, positions) for name in "qkv")
    return attend(model, attention, q, k, v, visible(positions, positions, attention.window))


def _own(model: Model, granularity: Granularity) -> int:
    """Attention components a layer."""
    return 1 if granularity == "layer" else model.heads
