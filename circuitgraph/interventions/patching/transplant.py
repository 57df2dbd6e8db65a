"""Activation patching across models, by sets of components.

At the prompt's positions the contribution of each component of a set is that of the other model's
run on the same prompt, post-norm included with the scale of that run; everything else is
recomputed (Prakash et al. 2024, arXiv:2402.14811). Positions of the answers are not patched.
"""

from __future__ import annotations

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.contributions import contributions
from circuitgraph.engine.decision import decide
from circuitgraph.engine.forward import forward, post, run_block
from circuitgraph.engine.model import Attention, Model
from circuitgraph.engine.patch import Patch, Window
from circuitgraph.engine.receivers import attention_components


@torch.no_grad()
def given_by(source: Model, batch: Batch, granularity: Granularity = "head") -> Tensor:
    """Contributions of another model's clean run, [1 + components, R, T, d].

    As ``ablated`` of ``make_patch`` they patch single edges across models.

    Parameters
    ----------
    batch
        Made with ``whole=True``.
    """
    return contributions(source, forward(source, batch.clean, batch.ends), batch.index, granularity)


@torch.no_grad()
def set_changes(
    patch: Patch, given: Tensor, sets: Tensor, granularity: Granularity = "head"
) -> Tensor:
    """Change of the decision with each set of components patched, [N, n].

    Exactly 0 for prompts where no component of the set has another contribution.

    Parameters
    ----------
    patch
        Made with ``ablated=given``.
    given
        From ``given_by``.
    sets
        Components of each set, bool [N, 1 + components], ``EMBED`` first.
    """
    own = attention_components(patch.model, granularity) + 1
    blocks = _first_blocks(sets, own, patch.model.layers)
    order = blocks.argsort(stable=True)  # sets with the same first block share the blocks before it
    changes = patch.base.new_zeros(len(sets), patch.batch.n)
    for some in patch.chunks(order):
        final = _run(patch, given, sets[some], granularity, int(blocks[some[0]]))
        changes[some] = decide(patch.model, final, patch.batch) - patch.base
    return changes * (sets.to(patch.changed.dtype) @ patch.changed).clamp_max(1)


def _first_blocks(sets: Tensor, own: int, layers: int) -> Tensor:
    """The first block each set changes, [N]; ``layers`` for an empty set."""
    block = (torch.arange(sets.shape[1], device=sets.device) - 1).clamp_min(0) // own
    return torch.where(sets, block, layers).amin(1)


def _run(patch: Patch, given: Tensor, sets: Tensor, granularity: Granularity, first: int) -> Tensor:
    """Final residuals at the scored positions [N, R, K, d], run from block ``first``."""
    model, clean = patch.model, patch.clean
    if first == model.layers:
        final = gather(clean.final, patch.batch.read)
        return final.expand(len(sets), *final.shape)
    start = patch.at_window(clean.layers[first].pre)
    x = start.expand(len(sets), *start.shape)
    if first == 0:
        x = _replaced(x, given[:1], sets[:, :1], patch.batch.patched)
    own = attention_components(model, granularity) + 1
    for layer in range(first, model.layers):
        part = slice(1 + layer * own, 1 + (layer + 1) * own)
        x = _run_block(patch, layer, x, given[part], sets[:, part], granularity)
    return x


def _run_block(
    patch: Patch, layer: int, x: Tensor, given: Tensor, sets: Tensor, granularity: Granularity
) -> Tensor:
    """One block with some of its components patched: [N, R, W, d] -> [N, R, Q, d].

    Parameters
    ----------
    given : [C, R, W, d]
        Of the block's own components, the MLP last.
    sets : bool [N, C]
        The same columns.
    """
    model, block = patch.model, patch.model.blocks[layer]
    given = patch.at_scored(given, layer)
    inside = patch.at_scored(patch.batch.patched[None], layer)[0]

    def write(z: Tensor, raw: Tensor) -> Tensor:
        added = post(raw, block.attention.post)
        if granularity == "layer":
            added = _replaced(added, given[:-1], sets[:, :-1], inside)
        elif bool(sets[:, :-1].any()):
            added = added + _exchanged(block.attention, z, raw, given[:-1], sets[:, :-1]) * inside
        return patch.at_scored(x, layer) + added

    trace = run_block(model, block, x, Window.of(patch, layer), write=write)
    return trace.mid + _replaced(trace.mlp, given[-1:], sets[:, -1:], inside)


def _exchanged(attention: Attention, z: Tensor, raw: Tensor, given: Tensor, sets: Tensor) -> Tensor:
    """Contributions of a set's heads in the other run, minus those in this run."""
    mask = sets.to(z.dtype)
    here = (z * mask[:, None, None, :, None]).flatten(-2) @ attention.out.weight
    if attention.post is not None:
        here = attention.post.linear(here, attention.post.scale(raw))
    return torch.einsum("nh,hrqd->nrqd", mask, given) - here


def _replaced(x: Tensor, given: Tensor, held: Tensor, inside: Tensor) -> Tensor:
    """x [N, R, Q, d], replaced by the given component [1, R, Q, d] in the sets that hold it."""
    return torch.where(held[..., None, None] & (inside > 0), given, x)
