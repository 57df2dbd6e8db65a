"""Decisions of circuits against plain hooks, and what must hold for any circuit."""

from __future__ import annotations

import pytest
import torch
from circuit_oracle import corrupt_run, decision
from models import FAMILIES, make_adapter, make_model
from oracle import make_bridge

from circuitgraph.base.components import effect_edges, writers
from circuitgraph.engine.ablation import ablated_contributions
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.engine.patch import make_patch
from circuitgraph.interventions.circuits.forward import circuit_decisions
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

PROMPTS = (
    Encoded((1, 5, 9, 22, 7, 30), (1, 5, 9, 41, 7, 30), (8,), (19,), None),
    Encoded((1, 6, 7, 33), (1, 6, 62, 33), (40, 12), (11, 13, 14), None),
    Encoded((1, 50, 9, 22, 7, 30, 12, 13, 44), (1, 50, 9, 22, 7, 31, 12, 60, 44), (8,), (9,), None),
    Encoded((1, 20, 21, 22, 23), (1, 20, 21, 22, 24), (17, 12), (17, 13), None),
)
KINDS = [("head", "joint"), ("head", "split"), ("layer", "joint"), ("layer", "split")]


@pytest.fixture(scope="module", params=FAMILIES)
def sides(request, tmp_path_factory):
    """A model with a LoRA merged: in our records, and as the library's bridge."""
    root = tmp_path_factory.mktemp("model")
    folder = make_model(request.param, root / "base")
    loaded = load_variant(folder, make_adapter(folder, root / "adapter"))
    hf = loaded.merged()
    return from_hf(hf), make_bridge(hf, folder, loaded.tokenizer)


def edges_of(model, granularity, inputs):
    return effect_edges(model.layers, model.heads, model.kv_heads, granularity, inputs)


def drawn(count, shares, seed=0):
    """Random circuits, one a share of all edges."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.rand(count, generator=generator) < share for share in shares])


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.some(2)
def test_decisions_are_those_of_hooks(sides, granularity, inputs):
    model, bridge = sides
    edges = edges_of(model, granularity, inputs)
    circuits = drawn(len(edges), (0.3, 0.7, 0.95))
    patch = make_patch(model, make_batch(PROMPTS), granularity)
    ours = circuit_decisions(patch, circuits, granularity, inputs)
    for column, prompt in enumerate(PROMPTS[:2]):
        reference = corrupt_run(bridge, prompt)
        naive = [decision(bridge, prompt, edges, c.tolist(), reference) for c in circuits]
        assert ours[:, column].tolist() == pytest.approx(naive, abs=2e-4)
        assert max(naive) - min(naive) > 0.01


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
def test_all_edges_are_the_clean_run_and_none_the_corrupt_one(sides, granularity, inputs):
    model, _ = sides
    count = len(edges_of(model, granularity, inputs))
    patch = make_patch(model, make_batch(PROMPTS), granularity)
    ends = torch.stack([torch.ones(count), torch.zeros(count)]).bool()
    ours = circuit_decisions(patch, ends, granularity, inputs)
    assert (patch.base - patch.total).abs().min() > 1e-3
    assert (ours - torch.stack([patch.base, patch.total])).abs().max() <= 1e-4


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.some(2)
def test_all_edges_but_one_give_that_edges_exact_effect(sides, granularity, inputs):
    model, _ = sides
    count = len(edges_of(model, granularity, inputs))
    batch = make_batch(PROMPTS)
    patch = make_patch(model, batch, granularity)
    circuits = ~torch.eye(count).bool()
    changes = circuit_decisions(patch, circuits, granularity, inputs) - patch.base
    effects = model.edge_effects(batch, EffectSpec(granularity, inputs)).effects
    assert (changes.T - effects).abs().max() <= 1e-4 * effects.abs().max()


@pytest.mark.parametrize("granularity", ["head", "layer"])
@pytest.mark.parametrize("ablation", ["mean", "zero"])
@pytest.mark.some(4)
def test_ablated_senders_are_those_of_hooks(sides, ablation, granularity):
    model, bridge = sides
    ablated = ablated_contributions(model, PROMPTS, granularity, ablation)
    edges = edges_of(model, granularity, "split")
    ends = torch.stack([torch.zeros(len(edges)), torch.ones(len(edges))]).bool()
    circuits = torch.cat([drawn(len(edges), (0.5, 0.8), seed=1), ends])
    patch = make_patch(model, make_batch(PROMPTS, whole=True), granularity, ablated)
    ours = circuit_decisions(patch, circuits, granularity, "split")
    assert (ours[2:] - torch.stack([patch.total, patch.base])).abs().max() <= 1e-4
    reference = instead(bridge, model, ablated, granularity)
    for column in (0, 1):
        naive = [
            decision(bridge, PROMPTS[column], edges, c.tolist(), reference) for c in circuits[:2]
        ]
        assert ours[:2, column].tolist() == pytest.approx(naive, abs=2e-4)
        assert max(naive) - min(naive) > 0.01


def instead(bridge, model, ablated, granularity):
    """What stands in for the corrupt run: a fixed vector a sender, and the sums of them."""
    names = ["EMBED", *writers(model.layers, model.heads, granularity)]
    said = dict(zip(names, ablated, strict=True))

    def stream(place):
        layer = int(place.split(".")[1])
        before = [n for n in names if n == "EMBED" or int(n[1]) < layer]
        if "pre" not in place:
            before += [n for n in names if n[:2] == f"L{layer}" and "MLP" not in n]
        if "post" in place:
            before.append(f"L{layer}_MLP")
        heads = [int(n[1]) for n in before if n[2] == "H"]
        biases = [bridge.blocks[i].attn.b_O for i in set(heads)]
        return sum(said[n] for n in before) + sum(b for b in biases if b is not None)

    return lambda shown: (lambda name: said[name], stream)


def test_edges_off_every_path_from_embedding_to_logits_change_nothing(sides):
    """A sender nobody clean speaks to says what it says in the corrupt run."""
    model, _ = sides
    edges = edges_of(model, "head", "joint")
    patch = make_patch(model, make_batch(PROMPTS))
    from_embedding = torch.tensor([e.source == "EMBED" for e in edges])
    into_logits = torch.tensor([e.target == "LOGITS" for e in edges])
    circuits = torch.stack([~from_embedding, ~into_logits])
    changes = (circuit_decisions(patch, circuits) - patch.total).abs()
    one_token = [len(p.answer) == len(p.wrong_answer) == 1 for p in PROMPTS]
    assert changes[0].max() <= 1e-4
    assert changes[1, one_token].max() <= 1e-4
    # an answer's own positions read everybody, and through attention the prompt's
    assert changes[1].max() > 1e-3


@pytest.mark.parametrize("inputs", ["joint", "split"])
@pytest.mark.some(2)
def test_batches_and_chunks_of_any_size_give_the_same_decisions(sides, inputs):
    model, _ = sides
    circuits = drawn(len(edges_of(model, "head", inputs)), (0.2, 0.6, 0.9))
    patch = make_patch(model, make_batch(PROMPTS))
    whole = circuit_decisions(patch, circuits, "head", inputs)
    one = circuit_decisions(
        make_patch(model, make_batch(PROMPTS), chunk_rows=1), circuits, "head", inputs
    )
    alone = [
        circuit_decisions(make_patch(model, make_batch([p])), circuits, "head", inputs)
        for p in PROMPTS
    ]
    assert (whole - one).abs().max() <= 1e-4
    assert (whole - torch.cat(alone, 1)).abs().max() <= 1e-4
