"""Receivers' own outputs under common signals: against the library's modules, and rewrites."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from channel_oracle import Naive, perturbed
from models import make_model
from test_engine_oracle import PROMPTS

from circuitgraph.base.components import effect_edges, parse
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.model import to_device
from circuitgraph.lenses.wiring.functional import FunctionalChannels
from circuitgraph.lenses.wiring.heads import aligned, distances, matched
from circuitgraph.lenses.wiring.signals import run_both
from circuitgraph.models.variants import load_variant
from circuitgraph.plant.rewrites import KINDS, rewritten_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model("llama", tmp_path_factory.mktemp("model") / "llama")


@pytest.fixture(scope="module")
def pair(folder):
    a, b = (load_variant(folder).merged().double() for _ in range(2))
    return a, perturbed(b, 0.1)


def double(hf):
    return to_device(from_hf(hf), "cpu", torch.float64)


def measured(a, b, inputs="joint", granularity="head"):
    runs = run_both((a, b), PROMPTS, True)
    return FunctionalChannels.of(a, b, granularity, inputs).measure(runs)


@torch.no_grad()
def said(hf, edge, x):
    """What a receiver of a library's Llama adds when it reads x [T, d]; heads: q, k and v."""
    target, inner = parse(edge.target), hf.model
    if target.kind == "logits":
        return hf.lm_head(inner.norm(x))
    block = inner.layers[target.layer]
    if target.kind == "mlp":
        return block.mlp(block.post_attention_layernorm(x))
    size = hf.config.hidden_size // 4
    out = block.self_attn.o_proj.weight
    whole = out.clone()
    out[:, : target.head * size] = 0
    out[:, (target.head + 1) * size :] = 0
    places = inner.rotary_emb(x[None], torch.arange(len(x))[None])
    mask = torch.full((1, 1, len(x), len(x)), float("-inf"), dtype=x.dtype).triu(1)
    normed = block.input_layernorm(x)[None]
    added = block.self_attn(normed, position_embeddings=places, attention_mask=mask)[0][0]
    out.copy_(whole)
    return added


def by_modules(pair, edge, prompt):
    """Squared norms of f_A and f_B's changes and of their difference, by position."""
    naive = [Naive(hf) for hf in pair]
    clean = [n.run(prompt.prompt) for n in naive]
    corrupt = [n.run(prompt.corrupt) for n in naive]
    layer, which = naive[0].place(edge)
    x = (clean[0][layer, which, "norm"] + clean[1][layer, which, "norm"]) / 2
    d = torch.zeros_like(x)
    for t in range(prompt.first_change, len(prompt.prompt)):
        for n, k, o in zip(naive, clean, corrupt, strict=True):
            z = n.said(o, edge.source, t) - n.said(k, edge.source, t)
            d[t] += (z if edge.source == "EMBED" else z @ n.write(edge.source)) / 2
    first = len(x) - 1 if layer >= 2 else prompt.first_change
    change = [(said(hf, edge, x + d) - said(hf, edge, x))[first:] for hf in pair]
    return [float(v.square().sum(-1).mean()) for v in (*change, change[1] - change[0])]


def test_channels_are_those_of_the_librarys_modules(pair):
    ours = measured(*map(double, pair))
    edges = effect_edges(3, 4, 2, "head", "joint")
    one_token = [i for i, p in enumerate(PROMPTS) if len(p.prompt) > 4]
    for column in range(1, len(edges), 6):
        for row in one_token:
            a, b, change = by_modules(pair, edges[column], PROMPTS[row])
            for name, want in (("norm_a", a**0.5), ("norm_b", b**0.5), ("square", change)):
                assert ours[name][row, column] == pytest.approx(want, rel=1e-3, abs=1e-12), (
                    edges[column],
                    name,
                )
            if a > 0:
                want = change**0.5 / (a**0.5 + b**0.5)
                assert ours["delta"][row, column] == pytest.approx(want, rel=1e-3)


@pytest.mark.parametrize("inputs", ["joint", "split"])
def test_equal_models_give_exactly_nothing(pair, inputs):
    model = double(pair[0])
    ours = measured(model, model, inputs)
    assert (ours["square"] == 0).all()
    assert (np.nan_to_num(ours["delta"]) == 0).all()
    assert ours["norm_a"].max() > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inputs", ["joint", "split"])
def test_rewrites_of_the_same_function_are_silent(pair, kind, inputs):
    a = double(pair[0])
    b = rewritten_model(a, kind, torch.Generator().manual_seed(1))
    runs = run_both((a, b), PROMPTS, True)
    orders = [matched(layer, a.group) for layer in distances((a, b), runs)]
    assert kind != "heads" or orders != [[0, 1, 2, 3]] * 3
    ours = measured(a, aligned(b, orders), inputs)
    assert np.nanmax(ours["delta"]) < 1e-9
    other = measured(a, double(pair[1]), inputs)
    assert np.nanmedian(other["delta"]) > 0.01


def test_heads_are_matched_with_their_groups_kept_whole():
    far = 10.0
    distance = np.full((4, 4), far)
    for mine, theirs in enumerate((3, 2, 0, 1)):
        distance[mine, theirs] = 0.0
    assert matched(distance, 2) == [3, 2, 0, 1]
    across = np.full((4, 4), far)
    for mine, theirs in enumerate((0, 2, 1, 3)):
        across[mine, theirs] = 0.0
    assert matched(across, 1) == [0, 2, 1, 3]
    assert matched(across, 2) == [0, 1, 2, 3]  # 1 and 2 use other keys: no such order


def test_heads_keep_their_names_unless_another_order_is_clearly_better():
    distance = np.array([[1.0, 0.9], [0.9, 1.0]])
    assert matched(distance, 1) == [0, 1]
    assert matched(distance * [[1, 0.1], [0.1, 1]], 1) == [1, 0]
