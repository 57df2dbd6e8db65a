"""Rotary tables that depend on length: every row is placed as if it ran alone.

Expected values are plain hooks on the library's modules, one row at a time, so that the library
itself chooses the table of each.
"""

from __future__ import annotations

import dataclasses

import naive_hooks
import pytest
import torch
from models import TWO_LAYERS, make_tokenizer
from transformers import AutoModelForCausalLM, LlamaConfig, Phi3Config

from circuitgraph.base.components import effect_edges
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import read_model
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.engine.patch import make_patch
from circuitgraph.ingest.activity import norm_activity
from circuitgraph.interventions.circuits.forward import circuit_decisions
from circuitgraph.lenses.mechanism.same import same_weights
from circuitgraph.lenses.mechanism.values import edge_ends, mixed_effects
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

BORDER = 9
ROPE = {
    "rope_type": "longrope",
    "rope_theta": 100.0,
    "factor": 4.0,
    "original_max_position_embeddings": BORDER,
    "short_factor": [1, 1.1, 1.2, 1.3],
    "long_factor": [1.0, 4.0, 8.0, 30.0],
}
SIZES = {**TWO_LAYERS, "rope_parameters": ROPE}
CONFIGS = {
    "llama": lambda: LlamaConfig(**SIZES),
    "phi3": lambda: Phi3Config(**SIZES, original_max_position_embeddings=BORDER),
}
LONG = (1, *range(5, 16))
SHORT = Encoded((1, 50, 9, 22, 7), (1, 50, 9, 31, 7), (8,), (9,), None)
BEYOND = Encoded((*LONG, 22, 7), (*LONG, 31, 7), (8,), (9,), None)
ONE_CROSSES = Encoded(
    (1, 6, 7, 33, 4, 9, 5, 8), (1, 6, 7, 34, 4, 9, 5, 8), (40,), (11, 13, 14), None
)
BOTH_CROSS = dataclasses.replace(ONE_CROSSES, answer=(40, 12, 5))
UNEQUAL = Encoded(
    (1, 6, 7, 33, 4, 9, 5), (1, 6, 7, 34, 61, 60, 35, 4, 9, 5), (8,), (9,), None,
    (0, 1, 2, 6, 7, 8, 9),
)  # fmt: skip
PROMPTS = (SHORT, BEYOND, ONE_CROSSES, BOTH_CROSS)


@pytest.fixture(scope="module", params=CONFIGS)
def pair(request, tmp_path_factory):
    """The library's model, and ours of the same weights."""
    torch.manual_seed(0)
    hf = AutoModelForCausalLM.from_config(CONFIGS[request.param]())
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            parameter.mul_(1 if "norm" in name else 6)
    folder = tmp_path_factory.mktemp(request.param)
    hf.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    loaded, twin = load_variant(folder), load_variant(folder)
    probe = torch.tensor([SHORT.prompt])
    return twin.hf, read_model(loaded.hf, loaded.tokenizer, str(folder), probe)


def apart(ours, theirs):
    return float((ours - theirs).abs().max() / theirs.abs().max())


def test_a_row_among_others_has_the_logits_it_has_alone(pair):
    hf, model = pair
    rows = [SHORT.prompt, BEYOND.prompt, LONG[:BORDER], LONG[: BORDER + 1]]
    ends = torch.tensor([len(row) for row in rows])
    tokens = torch.tensor([[*row, *[0] * (int(ends.max()) - len(row))] for row in rows])
    found = model.logits(tokens, ends)
    with torch.no_grad():
        alone = [hf(torch.tensor([row])).logits[0] for row in rows]
        together = hf(tokens).logits
    for row, logits in enumerate(alone):
        assert apart(found[row, : len(logits)], logits) <= 1e-5
    assert apart(together[0, :5], alone[0]) > 0.01  # what the border changes


def test_effects_in_a_batch_are_those_of_plain_hooks_row_by_row(pair):
    hf, model = pair
    edges = effect_edges(2, 4, 2, "head", "joint")
    found = model.edge_effects(make_batch(PROMPTS, border=model.border))
    naive = torch.stack([naive_hooks.effects(hf, prompt, edges) for prompt in PROMPTS])
    for ours, theirs in zip(found.effects, naive, strict=True):
        assert apart(ours, theirs) <= 1e-4
    for number, prompt in enumerate(PROMPTS):
        alone = model.edge_effects(make_batch([prompt], border=model.border))
        assert torch.allclose(found.effects[number], alone.effects[0], atol=1e-5)
        assert torch.allclose(found.totals[number], alone.totals[0], atol=1e-5)
        assert torch.allclose(found.mass[number], alone.mass[0], atol=1e-6)


def decided(hf, prompt, text):
    sides = []
    for answer in (prompt.answer, prompt.wrong_answer):
        _, logits = naive_hooks.run(hf, text + answer[:-1])
        sides.append(naive_hooks.log_prob(logits, answer, len(text)))
    return float(sides[0] - sides[1])


def test_clean_and_corrupt_rows_choose_apart(pair):
    hf, model = pair
    batch = make_batch([*PROMPTS, UNEQUAL], border=model.border)
    clean, corrupt, _ = model.decisions(batch)
    effects = model.edge_effects(batch)
    for number, prompt in enumerate((*PROMPTS, UNEQUAL)):
        right = [decided(hf, prompt, text) for text in (prompt.prompt, prompt.corrupt)]
        assert float(clean[number]) == pytest.approx(right[0], abs=1e-4)
        assert float(corrupt[number]) == pytest.approx(right[1], abs=1e-4)
        assert float(effects.totals[number]) == pytest.approx(right[1] - right[0], abs=1e-4)


def test_activity_of_a_prompt_does_not_hang_on_its_neighbours(pair):
    _, model = pair
    together = norm_activity(model, PROMPTS, "head")
    alone = torch.cat([norm_activity(model, [prompt], "head") for prompt in PROMPTS])
    assert apart(together, alone) <= 1e-5


def test_circuits_and_mechanisms_place_rows_alike(pair):
    _, model = pair
    batch = make_batch(PROMPTS, border=model.border)
    edges = effect_edges(2, 4, 2, "head", "joint")
    patch, effects = make_patch(model, batch), model.edge_effects(batch)
    all_but_one = ~torch.eye(len(edges), dtype=torch.bool)
    found = circuit_decisions(patch, all_but_one) - patch.base
    assert apart(found.T, effects.effects) <= 1e-4
    wanted = edge_ends(model, "head", "joint")
    weights = same_weights((model, model), wanted)
    mixed = mixed_effects((model, model), batch, wanted, torch.zeros_like(weights))
    assert apart(mixed.values[0, 0, 0], effects.effects.double()) <= 1e-4
    by_receiver = model.edge_effects(batch, EffectSpec(estimator="receiver-exact")).effects
    assert apart(by_receiver[:, -11:], effects.effects[:, -11:]) <= 1e-4  # into LOGITS
