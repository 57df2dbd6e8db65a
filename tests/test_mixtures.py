"""Experts as components beside heads, and their router as a receiver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import MIXTURES, make_model
from transformers import Qwen3MoeConfig

from circuitgraph.base.components import Edge, effect_edges, in_order, parse, writers
from circuitgraph.base.errors import UsageError
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.contributions import contributions
from circuitgraph.engine.experts import routed
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.forward import forward
from circuitgraph.engine.interface import ESTIMATORS, EffectSpec
from circuitgraph.engine.mixtures import Mixture
from circuitgraph.engine.native import NativeModel
from circuitgraph.engine.patch import make_patch
from circuitgraph.engine.receivers import ROUTER, component_names, edges_of
from circuitgraph.ingest.jobs import MOST_EDGES, _require_few_edges
from circuitgraph.ingest.shape import Shape
from circuitgraph.interventions.patching.transplant import given_by, set_changes
from circuitgraph.interventions.transplant.parts import with_parts
from circuitgraph.lenses.edge_tests import not_chosen, not_chosen_edges
from circuitgraph.models.variants import load_variant
from circuitgraph.nodes.weights import weight_table
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method

PROMPTS = (
    Encoded((1, 50, 9, 22, 7, 30, 12), (1, 50, 9, 22, 7, 31, 60), (8,), (9,), None),
    Encoded((1, 6, 7, 33), (1, 6, 62, 33), (40,), (11,), None),
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Qwen3-MoE with experts in blocks 0 and 2, an MLP in block 1."""
    folder: Path = tmp_path_factory.mktemp("mixture")
    return load_variant(make_model("qwen3_moe", folder / "base")).merged()


@pytest.fixture(scope="module")
def model(library: Any) -> NativeModel:
    return from_hf(library)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> NativeModel:
    """Another of the same build."""
    folder: Path = tmp_path_factory.mktemp("other")
    return from_hf(load_variant(make_model("qwen3_moe", folder / "base", seed=1)).merged())


def test_names_stand_in_order_of_computation_and_say_what_they_are() -> None:
    names = ["L0H0", "L0H1", "L0E0", "L0E1", "L0E2", "L1H0", "L1H1", "L1_MLP"]
    assert writers(2, 2, "head", (3, 0)) == names
    assert writers(2, 2, "layer", (3, 0)) == ["L0_ATTN", "L0_MLP", "L1_ATTN", "L1_MLP"]
    assert in_order(["LOGITS", "L0E2", "L0_ROUTER", *names[:4], "EMBED"]) == [
        "EMBED", "L0H0", "L0H1", "L0_ROUTER", "L0E0", "L0E1", "L0E2", "LOGITS",
    ]  # fmt: skip
    assert parse("L3E17")[1:] == ("expert", 3, 17)
    assert parse("L3_ROUTER")[1:] == ("router", 3, None)
    into = [edge.target for edge in effect_edges(1, 1, 1, "head", "joint", experts=(2,))]
    assert into == ["L0H0", *["L0_ROUTER"] * 2, *["L0E0"] * 2, *["L0E1"] * 2, *["LOGITS"] * 4]
    assert Edge("L0E1", "LOGITS", "in") in effect_edges(1, 1, 1, "head", "joint", experts=(2,))


@pytest.mark.parametrize("family", MIXTURES)
def test_what_experts_add_sums_to_the_block_and_is_nothing_where_not_chosen(
    family: str, tmp_path: Path
) -> None:
    model = from_hf(load_variant(make_model(family, tmp_path / family)).merged())
    tokens = torch.tensor([PROMPTS[0].prompt, PROMPTS[0].corrupt])
    trace, index = forward(model, tokens), torch.arange(7).expand(2, -1)
    parts = contributions(model, trace, index, "head")
    names = component_names(model, "head")
    assert len(parts) == len(names)
    assert (parts.sum(0) - trace.final).norm() <= 1e-6 * trace.final.norm()
    own = [i for i, name in enumerate(names) if name.startswith("L0E")]
    assert torch.allclose(parts[own].sum(0), trace.layers[0].mlp, atol=1e-5)
    experts: Any = model.blocks[0].mlp
    chosen = routed(experts, experts.norm(trace.layers[0].read).flatten(0, 1)).chosen
    said = parts[own].flatten(1, 2).any(-1).T
    assert torch.equal(said, torch.zeros_like(said).scatter(1, chosen, True))
    assert 0 < said.sum() < said.numel()


def test_a_router_that_reads_otherwise_chooses_anew(model: NativeModel) -> None:
    """Else the agreement with hooks would not have tried it."""
    patch = make_patch(model, make_batch(PROMPTS))
    mixture = Mixture.of_clean_run(patch, 0)
    assert mixture is not None
    normed = mixture.experts.norm(mixture.read + patch.deltas[0].flatten(0, 1))
    anew = routed(mixture.experts, normed).chosen.sort(-1).values
    moved = (anew != mixture.routes.chosen.sort(-1).values).any(-1)
    assert bool((moved & mixture.patched).any())
    assert bool(mixture.change(ROUTER, patch.deltas[:1]).any())


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_expert_no_position_has_hears_and_says_exactly_nothing(
    model: NativeModel, estimator: Any
) -> None:
    found = model.edge_effects(make_batch(PROMPTS), EffectSpec(estimator=estimator)).effects
    edges, names = edges_of(model, "head", "joint"), component_names(model, "head")
    used = set()
    for tokens in [t for p in PROMPTS for t in (p.prompt, p.corrupt)]:
        trace = forward(model, torch.tensor([tokens]))
        parts = contributions(model, trace, torch.arange(len(tokens))[None], "head")
        used |= {name for name, part in zip(names, parts, strict=True) if part.any()}
    resting = {name for name in names if parse(name).kind == "expert"} - used
    assert resting
    for edge, effects in zip(edges, found.T, strict=True):
        if resting & {edge.source, edge.target}:
            assert not effects.any()
    flagged = not_chosen_edges(edges, [found.numpy()])
    for edge, bad in zip(edges, flagged, strict=True):
        assert bad or not resting & {edge.source, edge.target}
        assert not bad or "expert" in (parse(edge.source).kind, parse(edge.target).kind)
    assert not flagged.all()


def test_only_experts_that_rest_in_every_variant_are_not_chosen() -> None:
    rest, loud = np.zeros((3, 2)), np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert not_chosen(["L0E0", "L0H0"], [rest, rest]).tolist() == [True, False]
    assert not_chosen(["L0H0", "L0E0"], [rest, loud]).tolist() == [False, False]
    edges = [Edge("L0H0", "L0E0", "in"), Edge("L0E0", "LOGITS", "in"), Edge("L0E1", "LOGITS", "in")]
    values = np.array([[0.0, 1.0, 0.0]])
    assert not_chosen_edges(edges, [values]).tolist() == [False, False, True]


def test_all_experts_of_a_block_moved_are_its_mlp_moved(
    model: NativeModel, other: NativeModel
) -> None:
    batch, found = make_batch(PROMPTS, whole=True), []
    for granularity, begin in (("head", "L2E"), ("layer", "L2_MLP")):
        given = given_by(other, batch, granularity)
        names = component_names(model, granularity)
        some = torch.tensor([[name.startswith(begin) for name in names]])
        patch = make_patch(model, batch, granularity, given)
        found.append(set_changes(patch, given, some, granularity))
    assert found[0].abs().max() > 0.01
    assert torch.allclose(*found, atol=1e-5)


def test_all_experts_and_the_router_put_in_are_the_block_put_in(
    model: NativeModel, other: NativeModel
) -> None:
    tokens = torch.tensor([PROMPTS[0].prompt])
    base, block = (f.logits(tokens) for f in (model, with_parts(model, other, ["L0_MLP"])))
    parts = [f"L0E{number}" for number in range(5)]
    norm = replace(model.blocks[0].mlp, norm=other.blocks[0].mlp.norm)
    normed = replace(model, blocks=(replace(model.blocks[0], mlp=norm), *model.blocks[1:]))
    found = with_parts(normed, other, [*parts, "L0_ROUTER"]).logits(tokens)
    assert (block - base).abs().max() > 0.01
    assert torch.equal(found, block)
    with pytest.raises(UsageError, match="'L1E0' is no part"):
        with_parts(model, other, ["L1E0"])
    changed = weight_table(model, with_parts(model, other, ["L0E2", "L2_ROUTER"]))
    changed = changed[changed["verdict"] == "changed"]
    assert set(changed["component"]) == {"L0E2", "L2_ROUTER"}


def test_sizes_are_known_before_any_weight_is_and_too_many_edges_refused(
    library: Any, model: NativeModel
) -> None:
    shape = Shape.of(library)
    assert (shape.experts, shape.chosen) == (model.experts, 2)
    assert model.experts == (5, 0, 5)
    config = Qwen3MoeConfig(num_hidden_layers=48, num_attention_heads=32, num_experts=128)
    with torch.device("meta"):
        large = Shape.of(type(library)(config))
    with pytest.raises(UsageError, match=r'edges between heads.*granularity="layer"') as caught:
        _require_few_edges(Method("effect", inputs="joint", ablation="corrupt"), large)
    assert f"{MOST_EDGES:,}" in str(caught.value)
    layers = Method("effect", granularity="layer", inputs="joint", ablation="corrupt")
    _require_few_edges(layers, large)
