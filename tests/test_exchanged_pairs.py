"""A pair that stands both ways is one observation, by plain transformers and by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from measured import effect_run
from models import make_model
from transformers import AutoModelForCausalLM

from circuitgraph import Workspace
from circuitgraph.base.errors import InputError
from circuitgraph.lenses.wiring.measure import _weights
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.pairs import observed
from circuitgraph.runs.aligned import directions

X, Y = "w7 w8 w9", "w7 w10 w9"
IDS = {X: [1, 7, 8, 9], Y: [1, 7, 10, 9]}
RIGHT, WRONG = 11, 12
EDGE = ("L0_MLP", "LOGITS", "in")


def row(prompt, corrupt, direction, answers=("w11", "w12"), scenario="s"):
    found = dict(zip(("answer", "wrong_answer"), answers, strict=True))
    return {
        "prompt": prompt,
        "corrupt": corrupt,
        "scenario": scenario,
        "direction": direction,
    } | found


def filled(tmp_path, rows):
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def by_hand(folder, clean, corrupt):
    """Effect of MLP 0 → LOGITS: what MLP 0 adds is exchanged in what the last norm reads."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    kept = {}

    def run(ids):
        model.model.layers[0].mlp.register_forward_hook(lambda m, i, o: kept.update(mlp=o))
        model.model.norm.register_forward_pre_hook(lambda m, i: kept.update(stream=i[0]))
        with torch.no_grad():
            model(torch.tensor([ids]))
        return kept["mlp"][0, -1], kept["stream"][0, -1]

    def decided(stream):
        logits = model.lm_head(model.model.norm(stream)).log_softmax(-1)
        return (logits[RIGHT] - logits[WRONG]).item()

    (mlp, stream), (other, _) = run(IDS[clean]), run(IDS[corrupt])
    with torch.no_grad():
        return decided(stream - mlp + other) - decided(stream)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_model("llama", tmp_path_factory.mktemp("exchanged") / "base")


def test_its_aligned_effects_are_averaged_and_count_once(base, tmp_path):
    rows = [
        row(X, Y, -1),
        row(Y, X, 1),  # the same answers: the opposite direction
        row("w20 w21 w22", "w20 w23 w22", -1),
    ]
    workspace = Workspace(tmp_path / "ws")
    [run] = workspace.ingest(base, name="a", prompts=filled(tmp_path, rows), edges=["effect"])
    assert (run.n, run.n_observations, run.n_scenarios) == (3, 2, 1)
    expected = (-by_hand(base, X, Y) + by_hand(base, Y, X)) / 2
    column = [tuple(edge) for edge in run.edges].index(EDGE)
    third = next(i for i, p in enumerate(run.prompts) if p.prompt.startswith("w20"))
    alone = -float(run.effects[third, column])
    table = workspace.edges("a").set_index(["source", "target", "input"]).loc[EDGE]
    assert table["weight"] == pytest.approx((expected + alone) / 2, abs=1e-5)
    assert table["n"] == 2
    found = workspace.query("edges-of-component", component="LOGITS", variant="a", limit=99)
    stored = found[(found["source"] == "L0_MLP")].iloc[0]
    assert stored["weight"] == pytest.approx(table["weight"], abs=1e-7)


def test_exchanged_answers_turn_the_decision_and_leave_one_observation(base, tmp_path):
    rows = [row(X, Y, -1), row(Y, X, -1, ("w12", "w11")), row(X, Y, 1, ("w12", "w11"))]
    workspace = Workspace(tmp_path / "ws")
    [run] = workspace.ingest(
        base, name="a", prompts=filled(tmp_path, rows), edges=["effect"], load=False
    )
    assert run.n_observations == 1
    signed = run.effects * np.array([[p.direction] for p in run.prompts])
    expected = workspace.edges("a")["weight"].to_numpy()
    assert np.allclose(signed.mean(0), expected, atol=1e-6)


def test_without_direction_the_way_of_each_row_is_kept(base, tmp_path):
    texts = [X, Y], ["w20 w21 w22", "w20 w23 w22"], ["w7 w21", "w7 w23"], ["w8 w9", "w10 w9"]
    rows = [row(*pair[::way], None) for pair in texts for way in (1, -1)]
    workspace = Workspace(tmp_path / "ws")
    [run] = workspace.ingest(
        base, name="a", prompts=filled(tmp_path, rows), edges=["effect"], load=False
    )
    assert (run.n, run.n_observations) == (8, 4)
    total = {(p.prompt, p.corrupt): t for p, t in zip(run.prompts, run.totals, strict=True)}
    first = [(run.prompts[i].prompt, run.prompts[i].corrupt) for i in run.observed]
    sign = np.sign(sum(total[pair] - total[pair[::-1]] for pair in first))
    signs = [sign if (p.prompt, p.corrupt) in first else -sign for p in run.prompts]
    assert directions(run)[0].tolist() == signs
    found = workspace.edges("a")
    assert np.allclose(found["weight"], (np.array(signs)[:, None] * run.effects).mean(0), atol=1e-6)
    assert set(found["n"]) == {4}


def test_spellings_with_equal_tokens_are_one_prompt_whichever_comes_first(base, tmp_path):
    spelled = [row(X, Y, -1), row(X.replace(" ", "  "), Y, -1), row("w7", "w8", 1)]
    found = []
    for i, rows in enumerate((spelled, spelled[::-1], spelled[1:], [spelled[0], spelled[2]])):
        (tmp_path / str(i)).mkdir()
        [run] = Workspace(tmp_path / str(i)).ingest(
            base, name="a", prompts=filled(tmp_path / str(i), rows), edges=["effect"], load=False
        )
        found.append((run.id, run.effects.tolist(), run.duplicates))
    assert [run[2] for run in found] == [1, 1, 0, 0]
    assert all(run[:2] == found[0][:2] for run in found)
    split = [spelled[0], {**spelled[1], "scenario": "other"}]
    with pytest.raises(InputError, match="line 1: the same prompt as line 2 with another"):
        Workspace(tmp_path / "x").ingest(
            base, name="a", prompts=filled(tmp_path, split), edges=["effect"]
        )


def test_directions_of_an_exchanged_pair_that_cannot_both_be_are_refused():
    def pair(first, second):
        rows = (row(X, Y, first), row(Y, X, second))
        return PromptSet(tuple(Prompt(**r, line=i) for i, r in enumerate(rows, 1)), "file.jsonl")

    assert len(observed(pair(-1, 1))) == 1
    assert len(observed(pair(None, None))) == 1
    with pytest.raises(InputError, match="line 1: the pair of line 2, .* opposite directions"):
        observed(pair(1, 1))


def test_a_scenario_without_a_pair_of_its_own_takes_no_weight_from_the_others():
    """Two observations in a, two in c, a quarter each; the first stands both ways, once in b."""
    run = effect_run(np.ones((5, 1)), ["a", "b", "a", "c", "c"])
    pairs = ["x", "x", None, None, None]
    prompts = tuple(replace(p, pair=k) for p, k in zip(run.prompts, pairs, strict=True))
    weights = _weights(replace(run, prompts=prompts))
    assert weights / 5 == pytest.approx([1 / 8, 1 / 8, 1 / 4, 1 / 4, 1 / 4])
