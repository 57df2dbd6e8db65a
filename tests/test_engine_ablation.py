"""Mean and zero ablation against plain hooks on the library's bridge."""

from __future__ import annotations

import pytest
import torch
from models import make_model
from oracle import make_bridge, receive, sent

from circuitgraph.base.components import effect_edges, writers
from circuitgraph.engine.ablation import ablated_contributions
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

PROMPTS = (
    Encoded((1, 5, 9, 22), None, (8,), (19,), None),
    Encoded((1, 6, 7, 33, 12, 40), None, (40, 12), (11,), None),
)


@pytest.fixture(scope="module", params=["gpt2", "gemma2"])
def sides(request, tmp_path_factory):
    folder = make_model(request.param, tmp_path_factory.mktemp("model") / request.param)
    loaded = load_variant(folder)
    hf = loaded.merged()
    return from_hf(hf), make_bridge(hf, folder, loaded.tokenizer)


def naive_mean(bridge, names):
    caches = [bridge.run_with_cache(torch.tensor([p.prompt]))[1] for p in PROMPTS]
    means = [[sent(bridge, cache, name)[0].mean(0) for name in names] for cache in caches]
    return torch.tensor([[m.tolist() for m in row] for row in means]).mean(0)


@pytest.mark.parametrize("granularity", ["head", "layer"])
@pytest.mark.parametrize("ablation", ["mean", "zero"])
@pytest.mark.some(3)
def test_effects_of_an_ablation_are_those_of_hooks(sides, ablation, granularity):
    model, bridge = sides
    names = ["EMBED", *writers(model.layers, model.heads, granularity)]
    with torch.no_grad():
        stand_in = (
            naive_mean(bridge, names)
            if ablation == "mean"
            else torch.zeros(len(names), model.width)
        )
    ablated = ablated_contributions(model, PROMPTS, granularity, ablation)
    assert (ablated - stand_in).abs().max() <= 1e-5
    edges = effect_edges(model.layers, model.heads, model.kv_heads, granularity, "joint")[::3]
    ours = model.edge_effects(
        make_batch(PROMPTS, whole=True), EffectSpec(granularity, ablated=ablated)
    )
    naive = torch.stack([_naive(bridge, p, edges, names, stand_in) for p in PROMPTS])
    assert naive.abs().max() > 0.05
    assert (ours.effects[:, ::3] - naive).abs().max() <= 1e-4 * naive.abs().max()


def _naive(bridge, prompt, edges, names, stand_in):
    def delta(kept, shown, edge):
        return stand_in[names.index(edge.source)] - sent(bridge, kept, edge.source)

    return receive(bridge, prompt, edges, delta)
