"""Channel changes against loops over explicit matrices, and what must be exactly nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from channel_oracle import Naive, channel, perturbed
from models import FAMILIES, MORE_READERS, PECULIAR, make_model
from test_engine_oracle import PROMPTS
from test_engine_unequal import LONGER, SHORTER

from circuitgraph.base.components import effect_edges
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.receivers import edges_of
from circuitgraph.lenses.wiring.null import Targets, few, random_forms
from circuitgraph.lenses.wiring.signals import run_both
from circuitgraph.lenses.wiring.weights import WeightChannels
from circuitgraph.models.variants import load_variant

EVERY = (*FAMILIES, *MORE_READERS, *PECULIAR)
MIXED = (*PROMPTS, SHORTER, LONGER)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {family: make_model(family, root / family) for family in EVERY}


def models_of(folder, size=0.1, rank=None):
    a, b = (load_variant(folder).merged() for _ in range(2))
    return a, perturbed(b, size, rank=rank)


def measured(a, b, prompts, granularity="head", inputs="joint", pairs=True, weights=None, **more):
    models = from_hf(a), from_hf(b)
    channels = WeightChannels.of(*models, granularity, inputs)
    weights = np.ones(len(prompts)) if weights is None else weights
    parts = more.pop("parts", [range(len(prompts))])

    def runs():
        for rows in parts:
            yield run_both(models, [prompts[i] for i in rows], pairs), rows

    return channels, channels.measure(runs, weights, **more)


CASES = [
    *((family, "head", "joint", True) for family in EVERY),
    *((family, "head", "split", True) for family in ("gpt2", "gemma2", "llama")),
    ("gemma2", "layer", "joint", True),
    ("gpt2", "layer", "split", True),
    ("llama", "head", "joint", False),
    ("gpt2", "head", "split", False),
]


@pytest.mark.parametrize(("family", "granularity", "inputs", "pairs"), CASES)
@pytest.mark.some(4)
def test_channels_are_those_of_explicit_matrices(folders, family, granularity, inputs, pairs):
    a, b = models_of(folders[family])
    _, ours = measured(a, b, MIXED, granularity, inputs, pairs)
    left, right = Naive(a), Naive(b)
    edges = edges_of(from_hf(a), granularity, inputs)
    assert ours["delta"].shape == (len(MIXED), len(edges))
    assert 0.02 < ours["delta"].max() <= 1
    for column in range(len(family) % 4, len(edges), 7):
        for row, prompt in enumerate(MIXED):
            for name, want in channel(left, right, edges[column], prompt, pairs).items():
                found = ours[name][row, column]
                assert found == pytest.approx(want, rel=2e-4, abs=1e-9), (edges[column], name)


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "llama"])
def test_equal_models_give_exactly_nothing(folders, family):
    a, b = models_of(folders[family], size=0.0)
    _, ours = measured(a, b, MIXED, draws=10)
    for name in ("read", "write", "delta", "square", "expected", "draws"):
        assert (ours[name] == 0).all(), name
    assert ours["norm_a"].max() > 0
    assert (ours["norm_a"] == ours["norm_b"]).all()


def test_only_what_was_touched_changes(folders):
    """New q weights of one head are read by that head; a new output matrix by all after it."""
    a, b = models_of(folders["llama"], size=0.0)
    with torch.no_grad():
        b.model.layers[1].self_attn.q_proj.weight[8:16] *= 1.5
        b.model.layers[0].mlp.down_proj.weight *= 1.5
    _, ours = measured(a, b, PROMPTS)
    edges = effect_edges(3, 4, 2, "head", "joint")
    for i, edge in enumerate(edges):
        assert bool(ours["read"][:, i].any()) == (edge.target == "L1H1"), edge
        assert bool(ours["write"][:, i].any()) == (edge.source == "L0_MLP"), edge
    whole = [i for i, e in enumerate(edges) if e.source == "L0_MLP" and e.target != "L1H1"]
    assert ours["delta"][:, whole] == pytest.approx(0.2, abs=1e-5)  # (1.5 − 1) / (1.5 + 1)


def test_batches_and_order_do_not_matter(folders):
    a, b = models_of(folders["gemma2"])
    weights = np.arange(1.0, len(MIXED) + 1)
    order = [3, 0, 6, 2, 5, 1, 4]
    parts = order[:1], order[1:4], order[4:]
    _, ours = measured(a, b, MIXED, weights=weights, draws=50, seed=3)
    _, parted = measured(a, b, MIXED, weights=weights, draws=50, seed=3, parts=parts)
    for name, found in parted.items():
        assert found == pytest.approx(ours[name], rel=1e-4, abs=1e-10), name


@pytest.mark.parametrize("granularity", ["head", "layer"])
def test_signals_that_do_not_fit_are_taken_in_passes(folders, granularity):
    a, b = models_of(folders["llama"])
    channels, whole = measured(a, b, MIXED, granularity, draws=50)
    told = []
    _, passes = measured(a, b, MIXED, granularity, draws=50, room=1e4, advance=told.append)
    positions = sum(len(p.prompt) - p.first_change for p in MIXED)
    assert len(told) == len(channels.points) * len(channels.blocks(positions, 1e4))
    assert len(told) > 2 * len(channels.points)
    for name, found in passes.items():
        assert found == pytest.approx(whole[name], rel=1e-5, abs=1e-10), name


@pytest.mark.parametrize("directions", [1, 7])
def test_directions_through_factors_are_those_of_the_matrices(directions):
    """Σ_k v_kᵀ Fᵀ F v_k either way, and by hand."""
    torch.manual_seed(0)
    factors = [torch.randn(2, 5, 6), torch.randn(1, 3, 6)]
    targets, v = Targets.of(factors), torch.randn(4, directions, 6)
    by_hand = [
        [sum(float((f @ v[draw, k]).square().sum()) for k in range(directions)) for f in every]
        for draw in range(4)
        for every in [[*factors[0], *factors[1]]]
    ]
    for follow in (True, False):
        assert targets.forms(v, follow=follow).numpy() == pytest.approx(np.array(by_hand), rel=1e-5)


def test_directions_that_hold_nothing_leave_the_others_as_drawn():
    """The rounding of merged weights is a tail of tiny singular values."""
    targets = Targets.of([torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(1))])
    tail = torch.tensor([1.0, 0.5, *[1e-10] * 6], dtype=torch.float64)
    _, found = next(random_forms(tail, targets, 16, 20, 0, (0, 0)))
    generator = np.random.SeedSequence([0, 0, 0]).generate_state(1, np.uint64)[0]
    drawn = torch.randn(20, 8, 16, generator=torch.Generator().manual_seed(int(generator >> 1)))
    whole = targets.forms(drawn * (tail / 16).sqrt().float()[:, None], follow=True)
    assert found.numpy() == pytest.approx(whole.numpy(), rel=1e-6)


def only(a, b, *kept):
    """B with the weights of A but for those whose names hold some word (in place)."""
    with torch.no_grad():
        for (name, x), y in zip(a.named_parameters(), b.parameters(), strict=True):
            if not any(word in name for word in kept):
                y.copy_(x)
    return a, b


@pytest.mark.parametrize("kept", [("",), ("o_proj", "down_proj"), ("c_proj",)])
def test_draws_spread_around_what_is_expected(folders, kept):
    """Where all changes, and where senders alone do."""
    a, b = only(*models_of(folders["gpt2" if "c_proj" in kept else "llama"]), *kept)
    weights = np.array([2.0, 1, 1, 1, 1])
    _, ours = measured(a, b, PROMPTS, weights=weights, draws=2000, seed=1)
    means = ours["draws"].mean(0)
    wanted = weights @ ours["expected"]
    known = wanted > 0
    assert known.sum() > 50
    assert (means[~known] == 0).all()
    assert np.median(np.abs(means[known] / wanted[known] - 1)) < 0.02
    assert np.abs(means[known] / wanted[known] - 1).max() < 0.2


def test_senders_alone_that_changed_are_judged_by_what_they_write(folders):
    a, b = only(*models_of(folders["llama"]), "1.mlp.down_proj")
    _, ours = measured(a, b, PROMPTS)
    left, right = Naive(a), Naive(b)
    edges = effect_edges(3, 4, 2, "head", "joint")
    for i, edge in enumerate(edges):
        assert bool(ours["square"][:, i].any()) == (edge.source == "L1_MLP")
    for i in [i for i, e in enumerate(edges) if e.source == "L1_MLP"][::2]:
        want = channel(left, right, edges[i], PROMPTS[0], True)
        for name in ("square", "expected", "delta"):
            assert ours[name][0, i] == pytest.approx(want[name], rel=2e-4)


def test_draws_are_those_of_random_updates_with_the_same_singular_values(folders):
    """Haar directions, explicit updates and explicit signals of one edge: the same spread."""
    a, b = models_of(folders["llama"], rank=1)
    left, right = Naive(a), Naive(b)
    prompt = PROMPTS[1]
    _, found = measured(a, b, [prompt], draws=4000)
    edges = effect_edges(3, 4, 2, "head", "joint")
    number = edges.index(next(e for e in edges if e[:2] == ("L1_MLP", "L2H3")))
    ours = found["draws"][:, number]
    naive = explicit_draws(left, right, edges[number], prompt, 4000)
    assert ours.mean() == pytest.approx(naive.mean(), rel=0.06)
    assert ours.std() == pytest.approx(naive.std(), rel=0.2)
    for q in (0.1, 0.5, 0.9):
        assert np.quantile(ours, q) == pytest.approx(np.quantile(naive, q), rel=0.15)


def explicit_draws(a, b, edge, prompt, draws):
    kept = [m.run(prompt.prompt) for m in (a, b)]
    other = [m.run(prompt.corrupt) for m in (a, b)]
    times = range(prompt.first_change, len(prompt.prompt))
    scale = torch.stack(
        [
            sum(
                0.5 / m.rms(k[2, "attention", "norm"][t], 2, "attention")
                for m, k in zip((a, b), kept, strict=True)
            )
            for t in times
        ]
    )
    z = [
        torch.stack([m.said(o, edge.source, t) - m.said(k, edge.source, t) for t in times])
        for m, k, o in zip((a, b), kept, other, strict=True)
    ]
    scale = scale[:, None] / len(times) ** 0.5
    c = sum(x @ m.write(edge.source) for x, m in zip(z, (a, b), strict=True)) / 2 * scale
    read = b.read(edge) - a.read(edge)
    generator = torch.Generator().manual_seed(5)
    out = []
    for _ in range(draws):
        turn = torch.randn(a.width, a.width, generator=generator, dtype=torch.float64)
        out.append(float((c @ torch.linalg.qr(turn)[0] @ read).square().sum()))
    return np.array(out)


def test_many_singular_values_become_few_with_the_same_sum():
    values = torch.linspace(2, 1, 100, dtype=torch.float64)
    kept = few(values)
    assert len(kept) == 32
    assert float(kept.sum()) == pytest.approx(float(values.sum()))
    assert torch.equal(kept[:16], values[:16])
    assert torch.equal(few(torch.tensor([3.0, 2.0, 1e-14])), torch.tensor([3.0, 2.0]))
    assert len(few(torch.zeros(4))) == 0
