"""What must add up: contributions to the stream, swaps to the corrupt run, nothing to nothing."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from models import FAMILIES, make_model

from circuitgraph.base.components import effect_edges, writers
from circuitgraph.engine.ablation import ablated_contributions
from circuitgraph.engine.batches import gather, make_batch
from circuitgraph.engine.contributions import contributions
from circuitgraph.engine.decision import decide
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.forward import forward, logits
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

PAIR = Encoded((1, 5, 9, 22, 7, 30), (1, 5, 9, 41, 7, 30), (8,), (19,), None)
EARLY = Encoded((1, 6, 7), (1, 61, 7), (40,), (11,), None)
LONG = Encoded(
    (1, 50, 9, 22, 7, 30, 12, 13, 44), (1, 50, 9, 22, 7, 31, 12, 60, 44), (8,), (9,), None
)
TWO_AND_THREE = Encoded((1, 6, 7, 33), (1, 6, 62, 33), (40, 12), (11, 13, 14), None)
ONE_AND_TWO = Encoded((1, 15, 16, 33), (1, 17, 16, 33), (40,), (40, 14), None)
SHARED_FIRST = Encoded((1, 20, 21, 22, 23), (1, 20, 21, 22, 24), (17, 12), (17, 13), None)
PROMPTS = (PAIR, EARLY, LONG, TWO_AND_THREE, ONE_AND_TWO, SHARED_FIRST)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    folder = make_model(request.param, tmp_path_factory.mktemp("model") / request.param)
    hf = load_variant(folder).merged()
    return hf, from_hf(hf)


@pytest.mark.parametrize("granularity", ["head", "layer"])
def test_contributions_biases_and_embedding_sum_to_the_residual_stream(family, granularity):
    _, model = family
    tokens = torch.tensor([LONG.prompt, LONG.corrupt])
    trace = forward(model, tokens)
    index = torch.arange(tokens.shape[1]).expand(2, -1)
    parts = contributions(model, trace, index, granularity)
    assert len(parts) == 1 + len(writers(model.layers, model.heads, granularity))
    biases = torch.zeros(model.width)
    for block in model.blocks:
        if granularity == "head" and block.attention.out.bias is not None:
            biases += block.attention.out.bias
    apart = (parts.sum(0) + biases - trace.final).norm() / trace.final.norm()
    assert apart <= 1e-5


def test_logits_are_the_library_s_whatever_the_padding(family):
    hf, model = family
    rows = [LONG.prompt, PAIR.prompt, EARLY.prompt]
    padded = torch.tensor([list(row) + [2] * (9 - len(row)) for row in rows])
    ours = logits(model, forward(model, padded).final)
    for row, mine in zip(rows, ours, strict=True):
        with torch.no_grad():
            theirs = hf(torch.tensor([row])).logits[0]
        assert (mine[: len(row)] - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_decisions_totals_and_mass_are_those_of_the_library_s_logits(family):
    hf, model = family
    result = model.edge_effects(make_batch(PROMPTS), EffectSpec("layer"))

    def log_p(prompt, answer):
        with torch.no_grad():
            scores = hf(torch.tensor([prompt + answer])).logits[0].double().log_softmax(-1)
        return sum(float(scores[len(prompt) - 1 + k, t]) for k, t in enumerate(answer))

    for i, p in enumerate(PROMPTS):
        clean = [log_p(p.prompt, a) for a in (p.answer, p.wrong_answer)]
        corrupt = [log_p(p.corrupt, a) for a in (p.answer, p.wrong_answer)]
        decision = clean[0] - clean[1]
        assert float(result.decisions[i]) == pytest.approx(decision, abs=2e-5)
        total = corrupt[0] - corrupt[1] - decision
        assert float(result.totals[i]) == pytest.approx(total, abs=4e-5)
        mass = sum(torch.tensor(clean).exp().tolist())
        assert float(result.mass[i]) == pytest.approx(mass, rel=1e-4)


@pytest.mark.parametrize("granularity", ["head", "layer"])
def test_swapping_every_sender_at_the_logits_gives_the_corrupt_decision(family, granularity):
    _, model = family
    batch = make_batch([PAIR, EARLY, LONG])
    clean, corrupt = forward(model, batch.clean), forward(model, batch.corrupt)
    parts = [contributions(model, t, batch.read, granularity) for t in (clean, corrupt)]
    swapped = gather(clean.final, batch.read) + (parts[1] - parts[0]).sum(0)
    want = decide(model, gather(corrupt.final, batch.read), batch)
    assert (decide(model, swapped, batch) - want).abs().max() <= 1e-5 * want.abs().max()


@pytest.mark.parametrize("inputs", ["joint", "split"])
def test_a_pair_that_does_not_differ_has_no_effects(family, inputs):
    _, model = family
    same = [dataclasses.replace(p, corrupt=p.prompt) for p in PROMPTS]
    result = model.edge_effects(make_batch([*same, PAIR]), EffectSpec("head", inputs))
    assert (result.effects[:-1] == 0).all()
    assert (result.totals[:-1] == 0).all()
    assert result.effects[-1].abs().max() > 0.01


def test_a_sender_whose_value_does_not_change_has_no_effect(family):
    """Before the difference nothing moves: the first token's embedding is no sender at the end."""
    _, model = family
    edges = effect_edges(model.layers, model.heads, model.kv_heads, "head", "joint")
    effects = model.edge_effects(make_batch([PAIR])).effects[0]
    into_logits = [i for i, e in enumerate(edges) if (e.source, e.target) == ("EMBED", "LOGITS")]
    assert abs(float(effects[into_logits[0]])) <= 1e-6  # PAIR's last token is the same


def test_putting_back_what_a_one_token_prompt_sends_anyway_changes_nothing(family):
    """A prompt of one token ablated by its own mean: clean, edge by edge and as a whole."""
    _, model = family
    prompt = Encoded((9,), None, (8,), (19, 5), None)
    for granularity in ("head", "layer"):
        mean = ablated_contributions(model, [prompt], granularity, "mean")
        result = model.edge_effects(
            make_batch([prompt], whole=True), EffectSpec(granularity, ablated=mean)
        )
        assert result.effects.abs().max() <= 1e-5
        assert result.totals.abs().max() <= 1e-5


@pytest.mark.some(2)
def test_a_batch_of_any_size_gives_the_same_effects(family):
    _, model = family
    whole = model.edge_effects(make_batch(PROMPTS))
    scale = whole.effects.abs().max()
    for size in (1, 4):
        parts = [
            model.edge_effects(make_batch(PROMPTS[k : k + size]))
            for k in range(0, len(PROMPTS), size)
        ]
        for name in ("effects", "totals", "decisions", "mass"):
            joined = torch.cat([getattr(part, name) for part in parts])
            assert (joined - getattr(whole, name)).abs().max() <= 1e-5 * scale, (size, name)


def test_the_order_of_prompts_changes_only_the_order_of_rows(family):
    _, model = family
    there = model.edge_effects(make_batch(PROMPTS)).effects
    back = model.edge_effects(make_batch(PROMPTS[::-1])).effects.flip(0)
    assert (there - back).abs().max() <= 1e-5 * there.abs().max()
