"""Hooks on the library's bridge, against independent computations."""

from __future__ import annotations

import ast
import dataclasses
from functools import cache
from pathlib import Path

import naive_hooks
import oracle
import pytest
import torch
from models import FAMILIES, HOOKED, make_adapter, make_model

import circuitgraph
from circuitgraph.base.components import effect_edges, writers
from circuitgraph.engine.ablation import ablated_contributions
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.bridge.boot import boot
from circuitgraph.engine.bridge.checks import worst
from circuitgraph.engine.bridge.exact import exact_group, receiver_exact_columns
from circuitgraph.engine.bridge.gradients import eap_columns
from circuitgraph.engine.bridge.patch import bridge_patch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.engine.receivers import receiver_groups
from circuitgraph.ingest.activity import norm_activity, projection_activity
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

PROMPTS = (
    Encoded((1, 50, 9, 22, 7, 30, 12), (1, 50, 9, 22, 7, 31, 60), (8,), (9,), None),
    Encoded((1, 6, 7), (1, 61, 7), (40,), (11,), None),
    Encoded((1, 6, 7, 33), (1, 6, 62, 33), (40, 12), (11, 13, 14), None),
)
PROBE = torch.tensor([PROMPTS[0].prompt])
KINDS = [("head", "joint"), ("head", "split"), ("layer", "joint"), ("layer", "split")]
ABLATIONS = ("corrupt", "mean", "zero")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: make_model(name, root / name) for name in (*HOOKED, *FAMILIES)}


@pytest.fixture(scope="module")
def bridges(folders):
    """The bridge over every model, those of families with a reader too."""

    def over(folder):
        loaded = load_variant(folder)
        return boot(loaded.merged(), loaded.tokenizer, str(folder), PROBE)

    return {name: over(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def library(folders):
    """The library's model of a family, loaded once; nobody leaves a hook in it."""
    return cache(lambda family: load_variant(folders[family]).hf)


def edges_of(model, granularity, inputs):
    sizes = (model.layers, model.heads, model.kv_heads)
    return effect_edges(*sizes, granularity, inputs, model.parallel)


def close(ours, theirs, limit=1e-4):
    assert ours.shape == theirs.shape
    assert theirs.abs().max() > 0.05
    return float((ours - theirs).abs().max()) <= limit * float(theirs.abs().max())


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.parametrize("family", naive_hooks.PLACES)
@pytest.mark.some(2)
def test_effects_are_those_of_plain_hooks_on_the_library_s_modules(
    library, bridges, family, granularity, inputs
):
    hf, edges = library(family), edges_of(bridges[family], granularity, inputs)
    naive = torch.stack([naive_hooks.effects(hf, prompt, edges) for prompt in PROMPTS])
    ours = bridges[family].edge_effects(make_batch(PROMPTS), EffectSpec(granularity, inputs))
    assert close(ours.effects, naive)


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.parametrize("family", ["gpt_neox", "gemma3_text"])
@pytest.mark.some(1)
def test_effects_with_lora_are_those_of_the_library_s_finer_hooks(
    folders, family, granularity, inputs, tmp_path
):
    """Split inputs and head results are the library's own here; ours never uses them."""
    adapter = make_adapter(folders[family], tmp_path / "adapter")
    loaded, other = (load_variant(folders[family], adapter) for _ in range(2))
    model = boot(loaded.merged(), loaded.tokenizer, str(folders[family]), PROBE)
    edges = edges_of(model, granularity, inputs)
    bridge = oracle.make_bridge(other.merged(), folders[family], other.tokenizer)
    naive = torch.stack([oracle.effects(bridge, prompt, edges) for prompt in PROMPTS])
    assert close(
        model.edge_effects(make_batch(PROMPTS), EffectSpec(granularity, inputs)).effects, naive
    )


@pytest.mark.pairwise
@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.some(4)
def test_a_family_with_a_reader_has_the_engine_s_numbers(
    library, bridges, family, granularity, inputs, ablation
):
    model, bridge = from_hf(library(family)), bridges[family]
    ablated = [ablated_contributions(m, PROMPTS, granularity, ablation) for m in (model, bridge)]
    batch = make_batch(PROMPTS, whole=ablation != "corrupt")
    want = model.edge_effects(batch, EffectSpec(granularity, inputs, ablated=ablated[0]))
    ours = bridge.edge_effects(batch, EffectSpec(granularity, inputs, ablated=ablated[1]))
    assert close(ours.effects, want.effects)
    for name in ("totals", "decisions"):
        assert (getattr(ours, name) - getattr(want, name)).abs().max() <= 1e-4
    assert torch.allclose(ours.mass, want.mass, rtol=1e-4)


@pytest.mark.pairwise
@pytest.mark.parametrize("activity", [norm_activity, projection_activity])
@pytest.mark.parametrize("granularity", ["head", "layer"])
@pytest.mark.parametrize("family", FAMILIES)
def test_activity_of_a_family_with_a_reader_is_the_engine_s(
    library, bridges, family, granularity, activity
):
    model = from_hf(library(family))
    assert close(
        activity(bridges[family], PROMPTS, granularity), activity(model, PROMPTS, granularity)
    )


@pytest.mark.parametrize("family", HOOKED)
def test_logits_decisions_and_mass_are_the_library_s_whatever_the_padding(library, bridges, family):
    hf, bridge = library(family), bridges[family]
    clean, corrupt, mass = bridge.decisions(make_batch(PROMPTS))
    for i, p in enumerate(PROMPTS):
        alone = torch.tensor([p.prompt])
        theirs = hf(alone).logits
        assert (bridge.logits(alone) - theirs).abs().max() <= 1e-5 * theirs.abs().max()
        sides = []
        for tokens in (p.prompt, p.corrupt):
            answers = (p.answer, p.wrong_answer)
            scores = [hf(torch.tensor([tokens + a])).logits[0].detach() for a in answers]
            pairs = zip(scores, answers, strict=True)
            sides.append([naive_hooks.log_prob(s, a, len(tokens)) for s, a in pairs])
        for got, (right, wrong) in zip((clean, corrupt), sides, strict=True):
            assert float(got[i]) == pytest.approx(float(right - wrong), abs=1e-4)
        assert float(mass[i]) == pytest.approx(float(sum(x.exp() for x in sides[0])), rel=1e-4)


@pytest.mark.parametrize("family", HOOKED)
def test_contributions_and_biases_sum_to_what_the_final_norm_reads(folders, bridges, family):
    """The stream as the library's own final norm gets it; heads and layers alike."""
    hf, bridge, read = load_variant(folders[family]).hf, bridges[family], []
    norm = [m for n, m in hf.named_modules() if n.endswith(FINAL[family])][-1]
    norm.register_forward_pre_hook(lambda module, args: read.append(args[0]))
    hf(PROBE)
    index = torch.arange(PROBE.shape[1])[None]
    for granularity in ("head", "layer"):
        parts, final = bridge.contributions(PROBE, index, granularity)
        assert len(parts) == 1 + len(writers(bridge.layers, bridge.heads, granularity))
        whole = parts.sum(0)
        if granularity == "head":
            whole = whole + sum(wiring.bias for wiring in bridge.wiring)
        assert (final - read[0]).norm() <= 1e-5 * final.norm()
        assert (whole - final).norm() <= 1e-5 * final.norm()


FINAL = {
    "gpt_neox": "final_layer_norm",
    "opt": "decoder.final_layer_norm",
    "gpt_neo": "ln_f",
    "gptj": "ln_f",
    "gemma3_text": "model.norm",
    "granite": "model.norm",
}


def test_projections_of_all_parts_sum_to_the_logit_difference(library, bridges):
    """Granite: no bias anywhere, no cap, and logits divided by a number."""
    bridge = bridges["granite"]
    prompt = PROMPTS[0]
    scores = library("granite")(PROBE).logits[0, -1].detach()
    want = float(scores[prompt.answer[0]] - scores[prompt.wrong_answer[0]])
    parts, final = bridge.contributions(PROBE, torch.tensor([[PROBE.shape[1] - 1]]), "head")
    norm, out = bridge.read_out.norm, bridge.read_out.unembed * bridge.read_out.factor
    direction = out[prompt.answer[0]] - out[prompt.wrong_answer[0]]
    embed = float((norm.linear(parts[0], norm.scale(final)) @ direction).squeeze())
    others = float(projection_activity(bridge, [prompt], "head").sum())
    assert embed + others == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize("family", ["gpt_neox", "gptj"])
def test_an_mlp_in_parallel_has_no_edge_from_its_own_layer_s_attention(folders, bridges, family):
    """Nor is there one to measure: its output does not feel what attention says."""
    bridge, hf = bridges[family], load_variant(folders[family]).hf
    assert bridge.parallel
    for granularity, inputs in KINDS:
        edges = set(edges_of(bridge, granularity, inputs))
        every = set(effect_edges(bridge.layers, 4, 4, granularity, inputs))
        own = {e for e in every if e.target.endswith("MLP") and e.source[:2] == e.target[:2]}
        assert every - edges == own
    block = (hf.gpt_neox.layers if family == "gpt_neox" else hf.transformer.h)[0]
    attention, said = (block.attention if family == "gpt_neox" else block.attn), []
    block.mlp.register_forward_hook(lambda module, args, out: said.append(out))
    hf(PROBE)
    attention.register_forward_hook(lambda module, args, out: (out[0] + 1, *out[1:]))
    hf(PROBE)
    assert torch.equal(*said)


@pytest.mark.parametrize("family", ["opt", "gemma3_text"])
def test_blocks_in_sequence_have_every_edge(bridges, family):
    bridge = bridges[family]
    sizes = (bridge.layers, bridge.heads, bridge.kv_heads)
    assert edges_of(bridge, "head", "split") == effect_edges(*sizes, "head", "split")


@pytest.mark.parametrize("family", ["gpt_neox", "opt"])
def test_neither_batches_nor_chunks_nor_a_choice_of_edges_change_effects(bridges, family):
    bridge, batch = bridges[family], make_batch(PROMPTS)
    whole = bridge.edge_effects(batch).effects
    alone = torch.cat([bridge.edge_effects(make_batch([p])).effects for p in PROMPTS])
    small = bridge.edge_effects(batch, EffectSpec(chunk_rows=60)).effects
    some = bridge.edge_effects(batch, EffectSpec(edges=[0, 3, 17, 40])).effects
    assert close(alone, whole, 1e-5)
    assert close(small, whole, 1e-5)
    assert close(some, whole[:, [0, 3, 17, 40]], 1e-5)


def test_a_pair_that_does_not_differ_has_no_effects(bridges):
    same = [dataclasses.replace(p, corrupt=p.prompt) for p in PROMPTS]
    effects = bridges["opt"].edge_effects(make_batch([*same, PROMPTS[0]])).effects
    assert (effects[:-1] == 0).all()
    assert effects[-1].abs().max() > 0.01


@pytest.mark.parametrize(
    ("family", "wrong", "meaning"),
    [
        ("gpt_neox", {"parallel": False}, "read more"),
        ("opt", {"parallel": True}, "read more"),
        ("gemma3_text", {"kv_heads": 1}, "groups"),
        ("granite", {"kv_heads": 4}, "groups"),
    ],
)
def test_the_checks_find_a_model_taken_for_what_it_is_not(bridges, family, wrong, meaning):
    right = bridges[family]
    assert right.check_parts("folder", [PROBE]) <= 1e-5
    apart, said = worst(dataclasses.replace(right, **wrong), [PROBE])
    assert apart > 0.01
    assert meaning in said


@pytest.mark.parametrize("family", HOOKED)
@pytest.mark.some(2)
def test_the_checks_find_a_head_or_a_bias_that_is_left_out(bridges, family):
    bridge = bridges[family]
    first = bridge.wiring[0]
    silent = first.out.clone()
    silent[1] = 0
    for wiring in (
        dataclasses.replace(first, out=silent),
        dataclasses.replace(first, bias=first.bias + 1),
    ):
        broken = dataclasses.replace(bridge, wiring=(wiring, *bridge.wiring[1:]))
        apart, said = worst(broken, [PROBE])
        assert apart > 0.01
        assert "do not sum to the residual stream" in said


ESTIMATORS = ("receiver-exact", "eap", "eap-ig")


@pytest.mark.pairwise
@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.some(4)
def test_screens_through_hooks_are_the_engine_s(
    library, bridges, family, granularity, inputs, estimator, ablation
):
    model, bridge = from_hf(library(family)), bridges[family]
    ablated = [ablated_contributions(m, PROMPTS, granularity, ablation) for m in (model, bridge)]
    batch = make_batch(PROMPTS, whole=ablation != "corrupt")
    want, ours = (
        m.edge_effects(batch, EffectSpec(granularity, inputs, estimator, ablated=mean))
        for m, mean in zip((model, bridge), ablated, strict=True)
    )
    assert close(ours.effects, want.effects)


@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.parametrize("family", HOOKED)
@pytest.mark.some(5)
def test_small_changes_have_the_effects_that_screens_say(bridges, family, granularity, inputs):
    """Where every contribution changes by little, all three estimators are one."""
    bridge = bridges[family]
    patch = bridge_patch(bridge, make_batch(PROMPTS), EffectSpec(granularity, inputs))
    patch = dataclasses.replace(patch, deltas=patch.deltas * 1e-3)
    groups = receiver_groups(bridge, granularity, inputs)
    with torch.no_grad():
        exact = torch.cat([exact_group(patch, group) for group in groups])
        for columns in (eap_columns, receiver_exact_columns):
            screen = torch.cat(list(columns(patch, granularity, inputs)))
            assert exact.shape == screen.shape
            assert float((exact - screen).abs().max()) <= 0.02 * float(exact.abs().max())


def test_the_library_s_bridge_is_not_imported_where_it_is_not_needed():
    """It takes seconds: no module imports it when it is itself imported."""
    package = Path(circuitgraph.__file__).parent
    importing = []
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        inside = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom | ast.Import)]
        if any("transformer_lens" in ast.unparse(n) for n in inside):
            importing.append(path.name)
            assert all(n not in tree.body for n in inside if "transformer_lens" in ast.unparse(n))
    assert importing == ["boot.py"]
