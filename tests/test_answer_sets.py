"""Sets of answers: the decision is between the probabilities of the sets, everywhere.

Expected numbers come from the library's own logits, and for edges from plain hooks.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import naive_hooks
import numpy as np
import pytest
import torch
from models import make_adapter, make_model, make_tokenizer
from transformers import AutoModelForCausalLM

from circuitgraph import Workspace
from circuitgraph.base.components import effect_edges
from circuitgraph.base.errors import InputError
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.bridge.wrapped import decide_logits, mass_of
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import ESTIMATORS, EffectSpec
from circuitgraph.ingest.selfcheck import base_totals
from circuitgraph.prompts import read_prompts
from circuitgraph.prompts.tokens import Encoded, encode

ROWS = [
    {"prompt": "w5 w6 w7", "corrupt": "w5 w9 w7", "scenario": "s",
     "answer": ["w20", "w21", "w22"], "wrong_answer": ["w30", "w31"]},
    {"prompt": "w8 w6 w7 w4", "corrupt": "w8 w9 w7 w4", "scenario": "s",
     "answer": "w20", "wrong_answer": ["w30", "w31", "w32", "w33"]},
    {"prompt": "w8 w7 w7 w4", "corrupt": "w8 w9 w7 w4", "scenario": "s",
     "answer": "w20", "wrong_answer": "w30"},
    {"prompt": "w6 w7 w7 w4", "corrupt": "w6 w9 w7 w4", "scenario": "s",
     "answer": "w20 w21", "wrong_answer": "w30"},
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("llama", tmp_path_factory.mktemp("sets") / "llama")


@pytest.fixture(scope="module")
def hf(folder: Path):
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


@pytest.fixture(scope="module")
def encoded() -> tuple[Encoded, ...]:
    return encode(read_prompts(ROWS), make_tokenizer()).prompts


def log_p(hf, text: tuple[int, ...], answers: list[tuple[int, ...]]) -> torch.Tensor:
    """log Σ p(answer), each answer's tokens one after the other."""
    each = []
    for answer in answers:
        scores = hf(torch.tensor([text + answer])).logits[0].double().log_softmax(-1)
        each.append(sum(scores[len(text) - 1 + k, t] for k, t in enumerate(answer)))
    return torch.stack(each).logsumexp(0)


def by_hand(hf, row: Encoded, text: tuple[int, ...]) -> tuple[float, float]:
    """Decision and mass."""
    with torch.no_grad():
        right = log_p(hf, text, [row.answer, *row.also])
        wrong = log_p(hf, text, [row.wrong_answer, *row.also_wrong])
    return float(right - wrong), float(right.exp() + wrong.exp())


def test_decisions_and_mass_are_those_of_the_sets(hf, encoded) -> None:
    clean, corrupt, mass = from_hf(hf).decisions(make_batch(encoded))
    expected = [by_hand(hf, row, row.prompt) for row in encoded]
    assert clean.tolist() == pytest.approx([d for d, _ in expected], abs=2e-5)
    assert mass.tolist() == pytest.approx([m for _, m in expected], rel=1e-4)
    twins = [by_hand(hf, row, row.corrupt)[0] for row in encoded]
    assert corrupt.tolist() == pytest.approx(twins, abs=2e-5)


def test_whole_logits_decide_the_same(hf, encoded) -> None:
    batch = make_batch(encoded)
    with torch.no_grad():
        logits = hf(batch.clean).logits
    clean, _, mass = from_hf(hf).decisions(batch)
    assert torch.allclose(decide_logits(logits, batch)[0], clean, atol=2e-5)
    assert torch.allclose(mass_of(logits, batch), mass, rtol=1e-4)


def test_a_prompt_decides_the_same_whatever_stands_beside_it(hf, encoded) -> None:
    together = from_hf(hf).decisions(make_batch(encoded))[0]
    alone = torch.cat([from_hf(hf).decisions(make_batch([row]))[0] for row in encoded])
    assert torch.allclose(together, alone, atol=1e-5)


def test_edges_are_those_of_plain_hooks(hf, encoded) -> None:
    row = encoded[0]
    edges = effect_edges(3, 4, 2, "head", "joint")
    some = list(range(0, len(edges), 7))
    found = from_hf(hf).edge_effects(make_batch([row]), EffectSpec(edges=some)).effects[0]
    clean, base = naive_hooks.run(hf, row.prompt)
    corrupt, _ = naive_hooks.run(hf, row.corrupt)
    for k, edge in enumerate(edges[i] for i in some):
        delta = naive_hooks.sent(hf, corrupt, edge.source) - naive_hooks.sent(
            hf, clean, edge.source
        )
        _, patched = naive_hooks.run(hf, row.prompt, *naive_hooks.changes(hf, clean, edge, delta))
        decided = [
            scores[-1].double()[[20, 21, 22]].logsumexp(0)
            - scores[-1].double()[[30, 31]].logsumexp(0)
            for scores in (patched, base)
        ]
        assert float(found[k]) == pytest.approx(float(decided[0] - decided[1]), abs=3e-5)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_one_answer_beside_sets_keeps_its_numbers(hf, encoded, estimator) -> None:
    """Padding to the largest set changes nothing, gradients included."""
    model, spec = from_hf(hf), EffectSpec("layer", estimator=estimator)
    beside = model.edge_effects(make_batch([encoded[2], encoded[1]]), spec).effects
    assert bool(beside.isfinite().all())
    alone = model.edge_effects(make_batch([encoded[2]]), spec).effects
    assert torch.allclose(beside[0], alone[0], atol=1e-5)


def test_the_screen_is_the_slope_of_the_decision_between_sets(hf, encoded) -> None:
    """eap into LOGITS from a sender: gradient of log Σ p at the final stream, by autograd."""
    row = encoded[0]
    edges = effect_edges(3, 4, 2, "layer", "joint")
    found = (
        from_hf(hf).edge_effects(make_batch([row]), EffectSpec("layer", estimator="eap")).effects[0]
    )
    clean, _ = naive_hooks.run(hf, row.prompt)
    corrupt, _ = naive_hooks.run(hf, row.corrupt)
    delta = (corrupt[2].mlp - clean[2].mlp)[-1]
    final = (clean[2].pre + clean[2].attention + clean[2].mlp)[-1].requires_grad_()
    scores = hf.lm_head(hf.model.norm(final))
    decision = scores[[20, 21, 22]].logsumexp(0) - scores[[30, 31]].logsumexp(0)
    (slope,) = torch.autograd.grad(decision, final)
    column = next(i for i, e in enumerate(edges) if e.source == "L2_MLP" and e.target == "LOGITS")
    assert float(found[column]) == pytest.approx(float(slope @ delta), abs=3e-5)


def test_signs_of_the_base_take_the_sets(hf, encoded, folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    peft = PeftModel.from_pretrained(base, make_adapter(folder, tmp_path / "a")).eval()
    expected = [by_hand(hf, r, r.corrupt)[0] - by_hand(hf, r, r.prompt)[0] for r in encoded]
    assert base_totals(peft, encoded).tolist() == pytest.approx(expected, abs=1e-4)


def test_runs_keep_sets_and_find_them_again(folder: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    options = {"granularity": "layer", "edges": "effect", "load": False}
    sets = [ROWS[0], {**ROWS[0], "prompt": "w9 w6 w7", "corrupt": "w9 w9 w7"}]
    [run] = workspace.ingest(folder, name="a", prompts=sets, **options)
    kept = run.prompts[0]
    assert (kept.answer, kept.also) == ("w20", ("w21", "w22"))
    turned = [{**row, "answer": row["answer"][::-1]} for row in sets]
    assert workspace.ingest(folder, name="a", prompts=turned, **options)[0].id == run.id
    fewer = [{**row, "answer": row["answer"][:2]} for row in sets]
    [other] = workspace.ingest(folder, name="a", prompts=fewer, **options)
    assert other.id != run.id
    assert np.abs(other.arrays["decisions"] - run.arrays["decisions"]).min() > 1e-3
    again = read_prompts(read_prompts(sets).prompts)
    assert again.prompts[0].also == ("w21", "w22")
    assert again.fingerprint("effect") == read_prompts(turned).fingerprint("effect")
    assert again.fingerprint("effect") != read_prompts(fewer).fingerprint("effect")


def test_what_sets_cannot_be_is_refused(folder: Path, tmp_path: Path) -> None:
    several = {**ROWS[0], "answer": ["w20", "w21 w22"]}
    with pytest.raises(InputError, match=r"'w21 w22' is read as 'w21' 'w22'.*one token each"):
        encode(read_prompts([several]), make_tokenizer())
    with pytest.raises(InputError, match=r"projection.*takes one answer a side"):
        Workspace(tmp_path).ingest(
            folder, name="a", prompts=ROWS, activity="projection", edges="correlation", load=False
        )


def test_exchanged_pairs_of_sets_are_one_observation() -> None:
    from circuitgraph.prompts.pairs import observed

    row = ROWS[0]
    turned = {
        "prompt": row["corrupt"], "corrupt": row["prompt"], "scenario": "s",
        "answer": row["wrong_answer"], "wrong_answer": row["answer"],
    }  # fmt: skip
    prompts = read_prompts([row, turned])
    assert len(observed(prompts)) == 1
    other = replace(prompts.prompts[1], also=("w40",))
    assert len(observed(replace(prompts, prompts=(prompts.prompts[0], other)))) == 2
