"""Activation patching across models, by sets of components.

At the prompt's positions the contribution of each component of a set is that of the other model's
run on the same prompt, post-norm included with the scale of that run; everything else is
recomputed (Prakash et al. 2024, arXiv:2402.14811). Positions of the answers are not patched.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.contributions import contributions
from circuitgraph.engine.decision import decide
from circuitgraph.engine.experts import apart, routed
from circuitgraph.engine.forward import LayerTrace, forward, post, run_block
from circuitgraph.engine.model import Attention, Experts, Model
from circuitgraph.engine.patch import Patch, Window
from circuitgraph.engine.receivers import attention_components, first_components


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
    blocks = _first_blocks(sets, first_components(patch.model, granularity))
    order = blocks.argsort(stable=True)  # sets with the same first block share the blocks before it
    changes = patch.base.new_zeros(len(sets), patch.batch.n)
    for some in patch.chunks(order):
        final = _run(patch, given, sets[some], granularity, int(blocks[some[0]]))
        changes[some] = decide(patch.model, final, patch.batch) - patch.base
    return changes * (sets.to(patch.changed.dtype) @ patch.changed).clamp_max(1)


def _first_blocks(sets: Tensor, firsts: list[int]) -> Tensor:
    """The first block each set changes, [N]; their number for an empty set.

    Parameters
    ----------
    firsts
        See ``receivers.first_components``.
    """
    counts = [after - before for before, after in pairwise([0, *firsts[1:]])]
    layers = torch.arange(len(counts))
    block = layers.repeat_interleave(torch.tensor(counts)).to(sets.device)
    return torch.where(sets, block, len(counts)).amin(1)


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
    firsts = first_components(model, granularity)
    for layer in range(first, model.layers):
        part = slice(firsts[layer], firsts[layer + 1])
        x = _run_block(patch, layer, x, given[part], sets[:, part], granularity)
    return x


def _run_block(
    patch: Patch, layer: int, x: Tensor, given: Tensor, sets: Tensor, granularity: Granularity
) -> Tensor:
    """One block with some of its components patched: [N, R, W, d] -> [N, R, Q, d].

    Parameters
    ----------
    given : [C, R, W, d]
        Of the block's own components, attention's first.
    sets : bool [N, C]
        The same columns.
    """
    model, block = patch.model, patch.model.blocks[layer]
    own = attention_components(model, granularity)
    given = patch.at_scored(given, layer)
    inside = patch.at_scored(patch.batch.patched[None], layer)[0]

    def write(z: Tensor, raw: Tensor) -> Tensor:
        added = post(raw, block.attention.post)
        if granularity == "layer":
            added = _replaced(added, given[:own], sets[:, :own], inside)
        elif bool(sets[:, :own].any()):
            added = added + _exchanged(block.attention, z, raw, given[:own], sets[:, :own]) * inside
        return patch.at_scored(x, layer) + added

    trace = run_block(model, block, x, Window.of(patch, layer), write=write)
    if len(given) == own + 1:
        return trace.mid + _replaced(trace.mlp, given[own:], sets[:, own:], inside)
    if bool(sets[:, own:].any()):
        change = _experts_exchanged(model, layer, trace, given[own:], sets[:, own:])
        return trace.mid + trace.mlp + change * inside
    return trace.mid + trace.mlp


def _exchanged(attention: Attention, z: Tensor, raw: Tensor, given: Tensor, sets: Tensor) -> Tensor:
    """Contributions of a set's heads in the other run, minus those in this run."""
    mask = sets.to(z.dtype)
    here = (z * mask[:, None, None, :, None]).flatten(-2) @ attention.out.weight
    if attention.post is not None:
        here = attention.post.linear(here, attention.post.scale(raw))
    return torch.einsum("nh,hrqd->nrqd", mask, given) - here


def _experts_exchanged(
    model: Model, layer: int, trace: LayerTrace, given: Tensor, sets: Tensor
) -> Tensor:
    """What the experts of a set added in the other run, minus what they add in this one."""
    experts = model.blocks[layer].mlp
    assert isinstance(experts, Experts)
    normed = experts.norm(trace.read.flatten(0, -2))
    routes = routed(experts, normed)
    here = apart(experts, model.activation, routes, lambda _, rows: normed[rows])
    mask = sets.to(given.dtype)
    added = torch.einsum("ne,erqd->nrqd", mask, given)
    return added - torch.einsum("ne,enrqd->nrqd", mask, here.view(-1, *trace.read.shape))


def _replaced(x: Tensor, given: Tensor, held: Tensor, inside: Tensor) -> Tensor:
    """x [N, R, Q, d], replaced by the given component [1, R, Q, d] in the sets that hold it."""
    return torch.where(held[..., None, None] & (inside > 0), given, x)
