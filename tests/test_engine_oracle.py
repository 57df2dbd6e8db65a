"""Exact effects against naive hooks on the library's own bridge."""

from __future__ import annotations

import pytest
import torch
from models import FAMILIES, MORE_READERS, make_adapter, make_model
from oracle import effects, make_bridge

from circuitgraph.base.components import effect_edges
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

PROMPTS = (
    Encoded((1, 5, 9, 22, 7, 30), (1, 5, 9, 41, 7, 30), (8,), (19,), None),
    Encoded((1, 50, 9, 22, 7, 30, 12, 13, 44), (1, 50, 9, 22, 7, 31, 12, 60, 44), (8,), (9,), None),
    Encoded((1, 6, 7), (1, 61, 7), (40,), (11,), None),
    Encoded((1, 6, 7, 33), (1, 6, 62, 33), (40, 12), (11, 13, 14), None),
    Encoded((1, 20, 21, 22, 23), (1, 20, 21, 22, 24), (17, 12), (17, 13), None),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {family: make_model(family, root / family) for family in (*FAMILIES, *MORE_READERS)}


CASES = [
    ("head", "joint", True),
    ("head", "split", False),
    ("layer", "joint", False),
    ("layer", "split", True),
]


EVERY = [(family, *case) for family in FAMILIES for case in CASES]
MORE = [(family, "head", "split", True) for family in MORE_READERS]


@pytest.mark.pairwise
@pytest.mark.parametrize(("family", "granularity", "inputs", "lora"), EVERY + MORE)
@pytest.mark.some(5)
def test_exact_effects_are_those_of_one_hooked_forward_an_edge(
    folders, family, granularity, inputs, lora, tmp_path
):
    adapter = make_adapter(folders[family], tmp_path / "adapter") if lora else None
    loaded = load_variant(folders[family], adapter)
    hf = loaded.merged()
    model = from_hf(hf)
    edges = effect_edges(model.layers, model.heads, model.kv_heads, granularity, inputs)
    ours = model.edge_effects(make_batch(PROMPTS), EffectSpec(granularity, inputs)).effects
    bridge = make_bridge(hf, folders[family], loaded.tokenizer)
    naive = torch.stack([effects(bridge, prompt, edges) for prompt in PROMPTS])
    assert ours.shape == (len(PROMPTS), len(edges))
    assert naive.abs().max() > 0.05
    assert (ours - naive).abs().max() <= 1e-4 * naive.abs().max()
