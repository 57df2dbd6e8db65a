"""Estimators against what defines them: derivatives, limits, and each other."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from models import FAMILIES, make_model
from oracle import library_eap, make_bridge

from circuitgraph.base.components import effect_edges
from circuitgraph.base.errors import UsageError
from circuitgraph.engine.attribution import eap_columns
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.exact import exact_columns
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import ESTIMATORS, EffectSpec
from circuitgraph.engine.patch import make_patch
from circuitgraph.engine.receiver import receiver_exact_columns
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

PROMPTS = (
    Encoded((1, 5, 9, 22, 7, 30), (1, 5, 9, 41, 7, 30), (8,), (19,), None),
    Encoded((1, 50, 9, 22, 7, 30, 12, 13, 44), (1, 50, 9, 22, 7, 31, 12, 60, 44), (8,), (9,), None),
    Encoded((1, 6, 7), (1, 61, 7), (40,), (11,), None),
    Encoded((1, 6, 7, 33), (1, 6, 62, 33), (40, 12), (11, 13, 14), None),
    Encoded((1, 20, 21, 22, 23), (1, 20, 21, 22, 24), (17, 12), (17, 13), None),
)
KINDS = [("head", "joint"), ("head", "split"), ("layer", "joint"), ("layer", "split")]


@pytest.fixture(scope="module", params=FAMILIES)
def hf(request, tmp_path_factory):
    folder = make_model(request.param, tmp_path_factory.mktemp("model") / request.param)
    return load_variant(folder).merged()


def in_double(hf):
    """The same model with all numbers in float64: derivatives by differences need them."""
    model = from_hf(hf.double())
    hf.float()
    return model


def table(columns):
    return torch.cat(list(columns)).T


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.some(3)
def test_eap_is_the_derivative_of_the_exact_effect(hf, granularity, inputs):
    """Patching a small share of the change, in float64, moves the decision by EAP times it."""
    model = from_hf(hf.double())
    patch = make_patch(model, make_batch(PROMPTS), granularity)
    step = 1e-5
    small, back = (
        dataclasses.replace(patch, deltas=patch.deltas * share) for share in (step, -step)
    )
    slope = (
        table(exact_columns(small, granularity, inputs))
        - table(exact_columns(back, granularity, inputs))
    ) / (2 * step)
    scores = table(eap_columns(patch, granularity, inputs))
    hf.float()
    assert scores.abs().max() > 0.01
    assert (scores - slope).abs().max() <= 1e-6 * slope.abs().max()
    single = from_hf(hf).edge_effects(
        make_batch(PROMPTS), EffectSpec(granularity, inputs, estimator="eap")
    )
    assert (single.effects - scores).abs().max() <= 1e-5 * scores.abs().max()


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.some(3)
def test_receiver_exact_is_exact_for_small_changes_and_at_the_end(hf, granularity, inputs):
    model = from_hf(hf.double())
    patch = make_patch(model, make_batch(PROMPTS), granularity)
    small = dataclasses.replace(patch, deltas=patch.deltas * 1e-5)
    ours = table(receiver_exact_columns(small, granularity, inputs))
    exact = table(exact_columns(small, granularity, inputs))
    assert (ours - exact).abs().max() <= 1e-3 * exact.abs().max()
    into_logits = [
        i
        for i, e in enumerate(effect_edges(3, 4, model.kv_heads, granularity, inputs))
        if e.target == "LOGITS"
    ]
    whole = table(receiver_exact_columns(patch, granularity, inputs))[:, into_logits]
    want = table(exact_columns(patch, granularity, inputs))[:, into_logits]
    hf.float()
    assert want.abs().max() > 0.01
    assert torch.equal(whole, want)


def test_eap_ig_averages_eap_between_corrupt_and_clean(hf):
    """Steps are at the midpoints of equal parts of the way; one step is EAP halfway."""
    model = from_hf(hf)
    batch = make_batch(PROMPTS)
    patch = make_patch(model, batch)
    ends = [
        table(eap_columns(dataclasses.replace(patch, clean=_moved_start(patch, share))))
        for share in (0.125, 0.375, 0.625, 0.875, 0.5)
    ]
    ours = model.edge_effects(batch, EffectSpec(estimator="eap-ig", steps=4)).effects
    want = torch.stack(ends[:4]).mean(0) * patch.changed.amax(0)[:, None]
    assert (ours - want).abs().max() <= 1e-5 * want.abs().max()
    one = model.edge_effects(batch, EffectSpec(estimator="eap-ig", steps=1)).effects
    assert (one - ends[4]).abs().max() <= 1e-5 * ends[4].abs().max()


def _moved_start(patch, share):
    start = patch.start + share * (patch.clean.embed - patch.start)
    return dataclasses.replace(patch.clean, embed=start)


@pytest.mark.pairwise
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("inputs", ["joint", "split"])
@pytest.mark.some(5)
def test_a_batch_of_any_size_gives_the_same_effects(hf, estimator, inputs):
    model = from_hf(hf)
    whole = model.edge_effects(make_batch(PROMPTS), EffectSpec("head", inputs, estimator=estimator))
    for size in (1, 4):
        parts = [
            model.edge_effects(
                make_batch(PROMPTS[k : k + size]), EffectSpec("head", inputs, estimator=estimator)
            )
            for k in range(0, len(PROMPTS), size)
        ]
        for name in ("effects", "totals", "decisions", "mass"):
            joined = torch.cat([getattr(part, name) for part in parts])
            apart = (joined - getattr(whole, name)).abs().max()
            assert apart <= 1e-5 * whole.effects.abs().max(), (size, name)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_pair_that_does_not_differ_has_no_effects(hf, estimator):
    same = [dataclasses.replace(p, corrupt=p.prompt) for p in PROMPTS]
    batch = make_batch([*same, PROMPTS[0]])
    effects = from_hf(hf).edge_effects(batch, EffectSpec(estimator=estimator)).effects
    assert (effects[:-1] == 0).all()
    assert effects[-1].abs().max() > 0.01


@pytest.mark.pairwise
@pytest.mark.parametrize("rows", [1, 40, 100_000])
@pytest.mark.parametrize("estimator", ["exact", "receiver-exact"])
@pytest.mark.some(3)
def test_chunks_of_any_size_give_the_same_effects(hf, estimator, rows):
    model, batch = from_hf(hf), make_batch(PROMPTS)
    whole = model.edge_effects(batch, EffectSpec(estimator=estimator)).effects
    parts = model.edge_effects(batch, EffectSpec(estimator=estimator, chunk_rows=rows)).effects
    assert (whole - parts).abs().max() <= 1e-5 * whole.abs().max()


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.some(3)
def test_some_edges_alone_are_what_they_are_among_all(hf, granularity, inputs):
    model, batch = from_hf(hf), make_batch(PROMPTS)
    whole = model.edge_effects(batch, EffectSpec(granularity, inputs)).effects
    count = whole.shape[1]
    for edges in ([0], [count - 1], list(range(0, count, 7)), [3, 5, count // 2]):
        some = model.edge_effects(batch, EffectSpec(granularity, inputs, edges=edges)).effects
        assert some.shape == (len(PROMPTS), len(edges))
        assert (some - whole[:, edges]).abs().max() <= 1e-5 * whole.abs().max()


@pytest.mark.parametrize("ablation", ["mean", "zero"])
def test_first_order_holds_for_ablations_too(hf, ablation):
    from circuitgraph.engine.ablation import ablated_contributions

    model = from_hf(hf)
    ablated = ablated_contributions(model, PROMPTS, "head", ablation).double()
    double = from_hf(hf.double())
    patch = make_patch(double, make_batch(PROMPTS, whole=True), ablated=ablated)
    small = dataclasses.replace(patch, deltas=patch.deltas * 1e-6)
    slope = table(exact_columns(small)) * 1e6
    scores = table(eap_columns(patch))
    hf.float()
    assert (scores - slope).abs().max() <= 1e-4 * slope.abs().max()


def test_eap_is_the_library_s_own_edge_attribution(tmp_path):
    """Where the library can: no grouped keys, no post-norms, one token an answer."""
    folder = make_model("gpt2", tmp_path / "gpt2")
    loaded = load_variant(folder)
    merged = loaded.merged()
    model, prompts = from_hf(merged), PROMPTS[:3]
    edges = effect_edges(model.layers, model.heads, model.kv_heads, "head", "split")
    theirs = library_eap(make_bridge(merged, folder, loaded.tokenizer), prompts)
    ours = model.edge_effects(make_batch(prompts), EffectSpec("head", "split", estimator="eap"))
    means = ours.effects.mean(0)
    want = torch.tensor([theirs[edge] for edge in edges])
    assert set(theirs) == set(edges)
    assert (means - want).abs().max() <= 1e-5 * want.abs().max()


def test_eap_ig_without_steps_is_refused():
    with pytest.raises(UsageError, match="at least 1, not 0"):
        EffectSpec(estimator="eap-ig", steps=0)
