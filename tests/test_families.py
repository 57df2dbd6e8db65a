"""Families that are no Llama: each against plain hooks on the library's modules, and by each lens.

The configurations have in them what the family has that others have not: windows and rotary
tables by layer, norms over all heads, multipliers, parallel blocks, experts.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import naive_hooks
import pytest
import torch
from models import MIXTURES, PECULIAR, make_adapter, make_model
from torch import Tensor

from circuitgraph.base.components import Edge, effect_edges
from circuitgraph.base.errors import UsageError
from circuitgraph.engine.attribution import eap_columns
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.exact import exact_columns
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.engine.model import Model
from circuitgraph.engine.native import NativeModel
from circuitgraph.engine.norms import norms_heads_together
from circuitgraph.engine.patch import make_patch
from circuitgraph.engine.receiver import receiver_exact_columns
from circuitgraph.interventions.circuits.forward import circuit_decisions
from circuitgraph.lenses.wiring.heads import aligned
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

PROMPTS = (
    Encoded((1, 50, 9, 22, 7, 30, 12), (1, 50, 9, 22, 7, 31, 60), (8,), (9,), None),
    Encoded((1, 6, 7, 33), (1, 6, 62, 33), (40, 12), (11, 13, 14), None),
)
KINDS = [("head", "joint"), ("head", "split"), ("layer", "joint"), ("layer", "split")]


@pytest.fixture(scope="module", params=[*PECULIAR, *MIXTURES])
def hf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A random model with a LoRA merged."""
    root = tmp_path_factory.mktemp("model")
    folder = make_model(request.param, root / "base")
    return load_variant(folder, make_adapter(folder, root / "lora")).merged()


def edges_of(model: Model, granularity: Any, inputs: Any) -> list[Edge]:
    sizes = (model.layers, model.heads, model.kv_heads)
    return effect_edges(*sizes, granularity, inputs, model.parallel, model.experts)


def apart(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


def in_double(hf: Any) -> NativeModel:
    """The same weights in float64: derivatives by differences need them."""
    model = from_hf(hf.double())
    hf.float()
    return model


def test_logits_of_a_row_among_others_are_those_the_library_gives_it_alone(hf: Any) -> None:
    rows = [prompt.prompt for prompt in PROMPTS]
    ends = torch.tensor([len(row) for row in rows])
    tokens = torch.tensor([[*row, *[0] * (int(ends.max()) - len(row))] for row in rows])
    found = from_hf(hf).logits(tokens, ends)
    for number, row in enumerate(rows):
        alone = hf(torch.tensor([row])).logits[0].detach()
        assert apart(found[number, : len(row)], alone) <= 1e-5


def test_heads_in_another_order_are_the_same_function(hf: Any) -> None:
    """As the wiring lens lays heads on each other that two models hold in different orders."""
    model, tokens = from_hf(hf), torch.tensor([PROMPTS[0].prompt])
    other = aligned(model, [[2, 3, 1, 0] if model.group == 1 else [3, 2, 0, 1]] * model.layers)
    assert not torch.equal(other.blocks[0].attention.q.weight, model.blocks[0].attention.q.weight)
    assert apart(NativeModel(**vars(other)).logits(tokens), model.logits(tokens)) <= 1e-5


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.some(6)
def test_effects_are_those_of_plain_hooks(hf: Any, granularity: Any, inputs: Any) -> None:
    model = from_hf(hf)
    every = 3 if model.experts and granularity == "head" else 1  # which have many more edges
    edges = edges_of(model, granularity, inputs)[::every]
    naive = torch.stack([naive_hooks.effects(hf, prompt, edges) for prompt in PROMPTS])
    ours = model.edge_effects(make_batch(PROMPTS), EffectSpec(granularity, inputs)).effects
    ours = ours[:, ::every]
    assert naive.abs().max() > 0.05
    assert apart(ours, naive) <= 1e-4


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.some(6)
def test_estimators_are_derivatives_of_the_exact_effect(
    hf: Any, granularity: Any, inputs: Any
) -> None:
    patch = make_patch(in_double(hf), make_batch(PROMPTS), granularity)
    small, back = (dataclasses.replace(patch, deltas=patch.deltas * s) for s in (1e-5, -1e-5))
    rises = [table(exact_columns(p, granularity, inputs)) for p in (small, back)]
    slope = (rises[0] - rises[1]) / 2e-5
    scores = table(eap_columns(patch, granularity, inputs))
    assert slope.abs().max() > 0.01
    assert apart(scores, slope) <= 1e-5
    closely = table(receiver_exact_columns(small, granularity, inputs))
    assert apart(closely, rises[0]) <= 1e-3


def table(columns: Any) -> Tensor:
    return torch.cat(list(columns)).T


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.some(6)
def test_a_circuit_of_all_edges_but_one_lacks_its_effect(
    hf: Any, granularity: Any, inputs: Any
) -> None:
    model = from_hf(hf)
    patch = make_patch(model, make_batch(PROMPTS), granularity)
    if norms_heads_together(model) and granularity == "head":
        with pytest.raises(UsageError, match='norm the queries and keys.*granularity="layer"'):
            circuit_decisions(patch, torch.ones(1, 9, dtype=torch.bool), granularity, inputs)
        return
    effects = model.edge_effects(make_batch(PROMPTS), EffectSpec(granularity, inputs)).effects
    every = 3 if model.experts else 1
    all_but_one, effects = (
        ~torch.eye(effects.shape[1], dtype=torch.bool)[::every],
        effects[:, ::every],
    )
    found = circuit_decisions(patch, all_but_one, granularity, inputs) - patch.base
    assert apart(found.T, effects) <= 1e-4
    none = torch.zeros(1, all_but_one.shape[1], dtype=torch.bool)
    assert torch.allclose(circuit_decisions(patch, none, granularity, inputs)[0], patch.total,
                          atol=1e-4)  # fmt: skip
