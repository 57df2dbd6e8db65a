"""Factors of an edge swapped between two models, against naive hooks on the library's modules."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import swap_oracle
import torch
from models import make_model
from torch import Tensor

from circuitgraph.base.components import Edge, effect_edges, parse
from circuitgraph.engine.ablation import ablated_contributions
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.engine.model import Model
from circuitgraph.lenses.mechanism.same import same_weights
from circuitgraph.lenses.mechanism.split import shares
from circuitgraph.lenses.mechanism.values import (
    Mixed,
    edge_ends,
    mean_outputs,
    mixed_effects,
)
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

ONE = Encoded((1, 20, 21, 22, 23, 30), (1, 20, 41, 22, 24, 30), (17,), (12,), None)
LONGER = Encoded(  # 22 became 60 61 62; 62 is the partner; answers of one and two tokens
    (1, 50, 9, 22, 7), (1, 50, 9, 60, 61, 62, 7), (8,), (9, 14), None, (0, 1, 2, 5, 6)
)
SHORTER = Encoded(  # 9 has no partner; one first token
    (1, 5, 9, 22, 7, 30, 33),
    (1, 5, 41, 7, 30, 33),
    (11, 13),
    (11, 14),
    None,
    (0, 1, -1, 2, 3, 4, 5),
)
PROMPTS = (ONE, LONGER, SHORTER)
CASES = [
    ("gpt2", "head", "joint"),
    ("gpt2", "layer", "split"),
    ("gemma2", "head", "joint"),
    ("qwen3", "head", "split"),
    ("gemma3_text", "head", "joint"),
    ("gpt_neox", "head", "split"),
    ("gpt_neox", "layer", "joint"),
    ("mixtral", "head", "joint"),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in (
            ("gemma2", "layer", "joint"),
            ("gemma2", "head", "split"),
            ("qwen3", "head", "joint"),
            ("llama", "head", "split"),
            ("qwen3_moe", "head", "split"),
        )
    ),
]


def edges_of(model: Model, granularity: str, inputs: str) -> list[Edge]:
    sizes = model.layers, model.heads, model.kv_heads
    return effect_edges(*sizes, granularity, inputs, model.parallel, model.experts)


def swapped(
    models: tuple[Model, Model], prompts: tuple[Encoded, ...], chosen: list[int],
    granularity: str, inputs: str, corners: Tensor | None = None,
) -> Mixed:  # fmt: skip
    some = [edge_ends(models[0], granularity, inputs)[i] for i in chosen]
    weights = same_weights(models, some)
    return mixed_effects(models, make_batch(prompts), some, weights, corners)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two models of one family in which nothing is alike, made once a family."""
    root, known = tmp_path_factory.mktemp("pairs"), {}

    def make(family: str) -> tuple[Any, Any]:
        if family not in known:
            folders = (make_model(family, root / f"{family}{seed}", seed) for seed in (0, 1))
            known[family] = tuple(load_variant(folder).merged() for folder in folders)
        return known[family]

    return make


@pytest.mark.parametrize(("family", "granularity", "inputs"), CASES)
@pytest.mark.some(3)
def test_every_value_is_that_of_naive_hooks(
    pair: Any, family: str, granularity: str, inputs: str
) -> None:
    hfs = pair(family)
    models = tuple(map(from_hf, hfs))
    edges = edges_of(models[0], granularity, inputs)
    chosen = [*range(3, len(edges), len(edges) // 5), len(edges) - 1]
    chosen = sorted({*chosen, *mixture_edges(edges)})
    found = swapped(models, PROMPTS, chosen, granularity, inputs)
    exact = [
        m.edge_effects(make_batch(PROMPTS), EffectSpec(granularity, inputs)).effects for m in models
    ]
    largest = max(float(effects.abs().max()) for effects in exact)
    for side in (0, 1):
        apart = found.values[side, side, side] - exact[side][:, chosen]
        assert float(apart.abs().max()) <= 1e-5 * largest
    doubles = tuple(copy.deepcopy(hf).double() for hf in hfs)
    for hf in doubles:  # experts in one product know no float64
        hf.config._experts_implementation = "eager"
    differ = 0
    for column, index in enumerate(chosen):
        row = column % len(PROMPTS)
        naive = swap_oracle.values(doubles, PROMPTS[row], edges[index])
        apart = (found.values[..., row, column] - naive).abs().max()
        assert float(apart) <= 1e-4 * largest, (edges[index], row)
        differ += bool(naive.std() > 1e-3 * largest)
    assert differ >= 3


def mixture_edges(edges: list[Edge]) -> list[int]:
    """Some that begin or end at experts or at a router, of the middle block."""
    kinds = [(parse(e.source).kind, parse(e.target).kind, e.target[:2]) for e in edges]
    wanted = [("head", "router", "L1"), ("expert", "router", "L1"), ("expert", "head", "L2")]
    first = [kinds.index(kind) for kind in wanted if kind in kinds]
    into = [i for i, kind in enumerate(kinds) if kind[1:] == ("expert", "L1")]
    return first + into[2 :: max(1, len(into) // 3)]


def edited(hf: Any, change: Any) -> Any:
    """A copy of a model with some weights changed in place."""
    other = copy.deepcopy(hf)
    with torch.no_grad():
        change(other.model)
    return other


def all_of(hfs: tuple[Any, Any]) -> tuple[list[Edge], Mixed]:
    models = tuple(map(from_hf, hfs))
    edges = edges_of(models[0], "head", "joint")
    return edges, swapped(models, PROMPTS, list(range(len(edges))), "head", "joint")


def test_what_is_the_same_bit_for_bit_has_a_share_of_exactly_nothing(pair: Any) -> None:
    base = pair("llama")[0]
    other = edited(base, lambda m: m.layers[1].mlp.up_proj.weight.mul_(1.5))
    edges, found = all_of((base, other))
    parts = torch.from_numpy(shares(found.values.numpy()))
    before = [
        i for i, e in enumerate(edges) if e.target[:2] in ("L0", "L1") and e.target != "L1_MLP"
    ]
    into = [i for i, e in enumerate(edges) if e.target == "L1_MLP"]
    after = [i for i, e in enumerate(edges) if e.target[:2] == "L2" or e.target == "LOGITS"]
    assert len(before) + len(into) + len(after) == len(edges)
    for rows, flags in (
        (before, [True, True, False]), (into, [True, False, False]), (after, [False, True, True])
    ):  # fmt: skip
        assert found.same[:, rows].T.tolist() == [flags] * len(rows)
        same, moving = parts[flags][..., rows], parts[[not flag for flag in flags]][..., rows]
        assert (same == 0).all()
        assert moving.abs().max() > 0.01


@pytest.mark.thorough
def test_the_parts_add_up_to_the_change(pair: Any) -> None:
    hfs = pair("qwen3")
    _, found = all_of(hfs)
    exact = [
        from_hf(hf).edge_effects(make_batch(PROMPTS), EffectSpec("head", "joint")).effects
        for hf in hfs
    ]
    change = (exact[1] - exact[0]).numpy()
    apart = abs(shares(found.values.numpy()).sum(0) - change).max()
    assert apart <= 1e-5 * abs(change).max()


def private(model: Any) -> None:
    """The last four places of the stream are written by L0H1 alone."""
    own = slice(-4, None)
    model.embed_tokens.weight[:, own] = 0
    for number, layer in enumerate(model.layers):
        layer.mlp.down_proj.weight[own] = 0
        kept = layer.self_attn.o_proj.weight[own, 8:16].clone()
        layer.self_attn.o_proj.weight[own] = 0
        if number == 0:
            layer.self_attn.o_proj.weight[own, 8:16] = 3 * kept


def test_one_edge_planted_is_the_edge_and_its_neighbours_are_not(pair: Any) -> None:
    """Reading one sender's private places otherwise changes that edge alone."""
    base = edited(pair("llama")[0], private)

    def plant(model: Any) -> None:
        model.layers[1].mlp.up_proj.weight[:, -4:] *= -1

    edges, found = all_of((base, edited(base, plant)))
    parts = abs(shares(found.values.numpy())).mean(1)
    largest = parts.max()
    planted = edges.index(Edge("L0H1", "L1_MLP", "in"))
    assert parts[1, planted] >= 0.999 * parts[:, planted].sum() > 0.05 * largest
    others = [i for i, e in enumerate(edges) if e.target == "L1_MLP" and i != planted]
    assert parts[1, others].max() <= 1e-5 * largest
    assert parts[2, others].max() > 0.01 * largest  # the receiver hears them beside another voice


@pytest.mark.parametrize("ablation", ["mean", "zero"])
@pytest.mark.some(1)
def test_ablated_corners_are_the_effects(pair: Any, ablation: str) -> None:
    models = tuple(map(from_hf, pair("gemma2")))
    edges = edge_ends(models[0], "head", "joint")
    senders = dict.fromkeys(place.sender for place in edges)
    batch = make_batch(PROMPTS, whole=True)
    nothing = torch.zeros(models[0].width)
    instead = {(s, u, e): nothing for s in senders for u in (0, 1) for e in (0, 1)}
    if ablation == "mean":
        instead = mean_outputs(models, [p.prompt for p in PROMPTS], senders)
    weights = same_weights(models, edges)
    found = mixed_effects(models, batch, edges, weights, None, instead)
    for side, model in enumerate(models):
        ablated = ablated_contributions(model, PROMPTS, "head", ablation)
        exact = model.edge_effects(batch, EffectSpec("head", "joint", ablated=ablated)).effects
        apart = (found.values[side, side, side] - exact).abs().max()
        assert float(apart) <= 1e-5 * float(exact.abs().max())
