"""Pairs of unequal lengths: patched at aligned positions, whatever stands beside them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from models import FAMILIES, make_model
from oracle import make_bridge, receive, sent

from circuitgraph.base.components import effect_edges
from circuitgraph.engine.ablation import ablated_contributions
from circuitgraph.engine.attribution import eap_columns
from circuitgraph.engine.batches import make_batch, window
from circuitgraph.engine.exact import exact_columns
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import ESTIMATORS, EffectSpec
from circuitgraph.engine.patch import make_patch
from circuitgraph.engine.receiver import receiver_exact_columns
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

SHORTER = Encoded(  # 9 22 became 41; 9 has no partner
    (1, 5, 9, 22, 7, 30), (1, 5, 41, 7, 30), (8,), (19,), None, (0, 1, -1, 2, 3, 4)
)
LONGER = Encoded(  # 22 became 60 61 62; 62 is the partner
    (1, 50, 9, 22, 7, 30, 12, 44),
    (1, 50, 9, 60, 61, 62, 7, 30, 12, 44),
    (8,),
    (9,),
    None,
    (0, 1, 2, 5, 6, 7, 8, 9),
)
AT_THE_END = Encoded((1, 6, 7), (1, 6, 61, 62, 63), (40, 12), (11, 13, 14), None, (0, 1, 4))
AT_THE_START = Encoded(  # 6 7 20 became 62; the beginning of sequence stays
    (1, 6, 7, 20, 33, 8, 9, 10, 11),
    (1, 62, 33, 8, 9, 10, 11),
    (40,),
    (40, 14),
    None,
    (0, -1, -1, 1, 2, 3, 4, 5, 6),
)
GAP = Encoded(  # not what marks would align: the engine takes any partners that rise
    (1, 13, 14, 15, 16, 17), (1, 18, 19, 16, 17), (8,), (19,), None, (0, 1, -1, 2, 3, 4)
)
REPEATED = Encoded(  # the same tokens at other positions
    (1, 4, 5, 5, 5, 6), (1, 4, 5, 5, 6), (8,), (19,), None, (0, 1, -1, 2, 3, 4)
)
EQUAL = Encoded((1, 20, 21, 22, 23), (1, 20, 21, 22, 24), (17, 12), (17, 13), None)
PROMPTS = (SHORTER, LONGER, AT_THE_END, AT_THE_START, GAP, REPEATED, EQUAL)
INPUTS = ("joint", "split")
CASES = [
    *((family, "head", inputs) for family in ("gpt2", "llama", "gemma2") for inputs in INPUTS),
    ("gemma2", "layer", "joint"),
    ("gpt2", "layer", "split"),
    ("qwen2", "layer", "split"),
    ("qwen3", "head", "joint"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {family: make_model(family, root / family) for family in FAMILIES}


@pytest.fixture(scope="module", params=FAMILIES)
def hf(request, folders):
    return load_variant(folders[request.param]).merged()


def naive_effects(bridge, prompt, edges):
    """What ``oracle.effects`` is for equal lengths, with the partners written above."""
    partners = prompt.partners or range(len(prompt.prompt))
    others = {}

    def delta(kept, shown, edge):
        if shown not in others:
            _, others[shown] = bridge.run_with_cache(torch.tensor([prompt.corrupt + shown]))
        theirs, mine = (sent(bridge, cache, edge.source) for cache in (others[shown], kept))
        change = torch.zeros_like(mine)
        for clean, corrupt in enumerate(partners):
            if corrupt >= 0:
                change[:, clean] = theirs[:, corrupt] - mine[:, clean]
        return change

    return receive(bridge, prompt, edges, delta)


@pytest.mark.parametrize(("family", "granularity", "inputs"), CASES)
@pytest.mark.some(2)
def test_exact_effects_are_those_of_one_hooked_forward_an_edge(
    folders, family, granularity, inputs
):
    loaded = load_variant(folders[family])
    hf = loaded.merged()
    model = from_hf(hf)
    edges = effect_edges(model.layers, model.heads, model.kv_heads, granularity, inputs)
    ours = model.edge_effects(make_batch(PROMPTS), EffectSpec(granularity, inputs)).effects
    bridge = make_bridge(hf, folders[family], loaded.tokenizer)
    naive = torch.stack([naive_effects(bridge, prompt, edges) for prompt in PROMPTS])
    assert (naive.abs().amax(1) > 0.01).all()
    assert naive.abs().max() > 0.05
    assert (ours - naive).abs().max() <= 1e-4 * naive.abs().max()


@pytest.mark.pairwise
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.some(4)
def test_a_mixed_batch_gives_what_each_prompt_gives_alone(hf, estimator, inputs):
    model = from_hf(hf.double())  # what is left of a difference is then no rounding
    whole = model.edge_effects(make_batch(PROMPTS), EffectSpec("head", inputs, estimator=estimator))
    alone = [
        model.edge_effects(make_batch([prompt]), EffectSpec("head", inputs, estimator=estimator))
        for prompt in PROMPTS
    ]
    hf.float()
    for name in ("effects", "totals", "decisions", "mass"):
        joined = torch.cat([getattr(one, name) for one in alone])
        apart = (joined - getattr(whole, name)).abs().max()
        assert apart <= 1e-10 * whole.effects.abs().max(), name


def log_probs(hf, rows, padded):
    """The library's log-probabilities of the next token along each row, padded left or not."""
    length = max(map(len, rows)) if padded else 0
    found = []
    for row in rows:
        fill = max(length - len(row), 0)
        mask = torch.tensor([[0] * fill + [1] * len(row)])
        found.append((torch.tensor([[0] * fill + list(row)]), mask, fill))
    if padded:
        ids, mask = (torch.cat([f[k] for f in found]) for k in (0, 1))
        places = (mask.cumsum(1) - 1).clamp_min(0)
        with torch.no_grad():
            logits = hf(ids, attention_mask=mask, position_ids=places).logits
        return [
            scores[fill:].double().log_softmax(-1)
            for scores, (*_, fill) in zip(logits, found, strict=True)
        ]
    with torch.no_grad():
        return [hf(ids).logits[0].double().log_softmax(-1) for ids, *_ in found]


@pytest.mark.parametrize("padded", [False, True])
def test_decisions_and_totals_are_the_library_s_alone_and_padded_on_the_left(hf, padded):
    sides = [(p, text) for p in PROMPTS for text in (p.prompt, p.corrupt)]
    rows = [text + answer for p, text in sides for answer in (p.answer, p.wrong_answer)]
    scores = iter(log_probs(hf, rows, padded))
    decisions = []
    for p, text in sides:
        sums = [
            sum(float(s[len(text) - 1 + k, token]) for k, token in enumerate(answer))
            for answer, s in zip((p.answer, p.wrong_answer), scores, strict=False)
        ]
        decisions.append(sums[0] - sums[1])
    result = from_hf(hf).edge_effects(make_batch(PROMPTS), EffectSpec("layer"))
    for i in range(len(PROMPTS)):
        clean, corrupt = decisions[2 * i : 2 * i + 2]
        assert float(result.decisions[i]) == pytest.approx(clean, abs=4e-5)
        assert float(result.totals[i]) == pytest.approx(corrupt - clean, abs=8e-5)
        assert abs(corrupt - clean) > 1e-3


def table(columns):
    return torch.cat(list(columns)).T


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.some(3)
def test_first_order_estimators_are_derivatives_of_the_exact_effect(hf, inputs):
    model = from_hf(hf.double())
    patch = make_patch(model, make_batch(PROMPTS))
    small, back = (dataclasses.replace(patch, deltas=patch.deltas * s) for s in (1e-5, -1e-5))
    slope = (
        table(exact_columns(small, "head", inputs)) - table(exact_columns(back, "head", inputs))
    ) / 2e-5
    eap = table(eap_columns(patch, "head", inputs))
    near = table(receiver_exact_columns(small, "head", inputs)) / 1e-5
    hf.float()
    assert (slope.abs().amax(1) > 0.01).all()
    assert (eap - slope).abs().max() <= 1e-6 * slope.abs().max()
    assert (near - slope).abs().max() <= 1e-3 * slope.abs().max()


@pytest.mark.some(2)
def test_eap_ig_starts_from_the_corrupt_embedding_at_the_partners(hf):
    """Where a position has no partner, and in the answers, the embedding stays clean."""
    model = from_hf(hf)
    for prompt in PROMPTS:
        batch = make_batch([prompt])
        patch = make_patch(model, batch)
        start = patch.clean.embed.clone()
        partners = prompt.partners or range(len(prompt.prompt))
        for clean, corrupt in enumerate(partners):
            if corrupt >= 0:
                start[:, clean] = embedding(hf, prompt.corrupt[corrupt], corrupt)
        assert (patch.start - start).abs().max() <= 1e-6 * start.abs().max()
        runs = [torch.lerp(start, patch.clean.embed, share) for share in (0.25, 0.75)]
        traces = [dataclasses.replace(patch.clean, embed=run) for run in runs]
        want = sum(table(eap_columns(dataclasses.replace(patch, clean=t))) for t in traces) / 2
        ours = model.edge_effects(batch, EffectSpec(estimator="eap-ig", steps=2)).effects
        assert (ours - want * patch.changed.amax(0)).abs().max() <= 1e-5 * want.abs().max()


def embedding(hf, token, position):
    """The library's first hidden state of one token at one position."""
    with torch.no_grad():
        ids, places = torch.tensor([[token]]), torch.tensor([[position]])
        return hf(ids, position_ids=places, output_hidden_states=True).hidden_states[0][:, 0]


def test_only_positions_with_a_partner_are_patched(hf):
    patch = make_patch(from_hf(hf), make_batch(PROMPTS))
    moved = (patch.deltas != 0).any(-1).any(0)
    found = [set() for _ in PROMPTS]
    for row, owner in enumerate(patch.batch.owner.tolist()):
        found[owner] |= set(patch.batch.positions[row][moved[row]].tolist())
    assert found == [
        {3, 4, 5},
        {3, 4, 5, 6, 7},
        {2},
        {3, 4, 5, 6, 7, 8},
        {1, 3, 4, 5},
        {3, 4, 5},
        {4},
    ]


def test_a_pair_of_unequal_lengths_that_nothing_aligns_is_refused():
    with pytest.raises(ValueError, match="unequal lengths"):
        make_batch([dataclasses.replace(SHORTER, partners=None)])


@pytest.mark.parametrize("ablation", ["mean", "zero"])
@pytest.mark.some(3)
def test_ablations_look_at_no_corrupt_prompt_of_any_length(hf, ablation):
    model = from_hf(hf)
    bare = [dataclasses.replace(p, corrupt=None, partners=None) for p in PROMPTS]
    longer = [dataclasses.replace(p, partners=None) for p in PROMPTS]
    ablated = ablated_contributions(model, bare, "head", ablation)
    results = [
        model.edge_effects(make_batch(rows, whole=True), EffectSpec(ablated=ablated))
        for rows in (bare, longer, PROMPTS)
    ]
    for other in results[1:]:
        assert torch.equal(other.effects, results[0].effects)
        assert torch.equal(other.totals, results[0].totals)


def test_the_window_reaches_from_the_first_patched_position_to_the_end():
    assert [window(p, "corrupt") for p in PROMPTS] == [3, 5, 3, 7, 5, 3, 2]
    assert [window(p, "mean") for p in PROMPTS] == [6, 8, 5, 10, 6, 6, 6]
