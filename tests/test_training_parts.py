"""Parts of training against independent computations: packed rows, targets, sites, groups."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from models import make_model
from shell import jsonl
from transformers import AutoModelForCausalLM

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.games.payoffs import STATES
from circuitgraph.prompts import read_prompts
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.training.goals import OwnAnswers, divergence, own_answers
from circuitgraph.training.loop import rate_at
from circuitgraph.training.packed import Rows, packed
from circuitgraph.training.runner import Runner
from circuitgraph.training.sites import components_named, layers_of, sites_of
from circuitgraph.training.texts import Group, Text, training_data, visits

START = (1, 9, 10, 11, 12)
ANSWERS = {
    "one token": ((20,), (21,)),
    "a shared beginning": ((30, 20), (30, 21)),
    "nothing shared": ((30, 20, 22), (31, 23)),
    "four spellings": ((20,), (24,), (21,), (30, 25)),
}


def texts(answers: tuple) -> tuple[Text, ...]:
    """Four states of one wording, the last with a longer end."""
    ends = ((13, 14, 5), (13, 15, 5), (16, 14, 5), (16, 15, 6, 7, 5))
    return tuple(
        Text(START + end, answers, state, "ipd", "w")
        for end, state in zip(ends, STATES, strict=True)
    )


def plain(hf: torch.nn.Module, text: Text) -> list[float]:
    """Log-probability of every answer of a text, one forward pass each."""
    found = []
    for answer in text.answers:
        ids = torch.tensor([[*text.ids, *answer]])
        log_p = hf(ids).logits[0].log_softmax(-1)
        places = range(len(text.ids) - 1, ids.shape[1] - 1)
        found.append(sum(float(log_p[i, ids[0, i + 1]]) for i in places))
    return found


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "qwen2", "opt"])
@pytest.mark.parametrize("answers", ANSWERS.values(), ids=ANSWERS)
@torch.no_grad()
@pytest.mark.some(5)
def test_packed_rows_and_kept_layers_give_the_models_own_numbers(
    family: str, answers: tuple, tmp_path: Path
) -> None:
    hf = AutoModelForCausalLM.from_pretrained(make_model(family, tmp_path / family)).eval()
    group, other = Group(texts(answers)), Group(texts(answers)[:1])
    runner = Runner(hf, layers_of(hf)[1], 1)
    said = runner.check([group])
    for _ in range(2):  # kept states are used the second time
        found = runner.scores([*runner.rows(group), *runner.rows(other)])[1]
        for own, text in zip(found, [*group.texts, *other.texts], strict=True):
            assert own.tolist() == pytest.approx(plain(hf, text), abs=2e-4)
    if family == "llama":
        assert said == []
        assert runner.first == 1
        assert runner.packs


def test_a_packed_row_holds_the_common_beginning_once() -> None:
    row = packed(texts(((20,), (21,))))
    assert row.tokens[: len(START)] == START
    assert len(row.tokens) == len(START) + 3 * 3 + 5
    assert row.positions[len(START) :] == (*[5, 6, 7] * 3, 5, 6, 7, 8, 9)
    mask = row.mask
    assert mask[-1].sum() == len(START) + 5  # the last text sees the beginning and itself
    assert not mask.triu(1).any()
    assert Rows.of([packed(texts(((20,), (21,)))[:1])]).mask is None


def test_divergence_by_hand() -> None:
    scores = torch.tensor([[0.5, 0.25], [0.1, 0.9]]).log()
    targets = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    first = 0.5 * math.log(0.5 / 0.5) + 0.5 * math.log(0.5 / 0.25)
    assert float(divergence(scores, targets)) == pytest.approx((first - math.log(0.9)) / 2)


def test_own_answers_are_drawn_from_the_model_itself(tmp_path: Path) -> None:
    hf = AutoModelForCausalLM.from_pretrained(make_model("llama", tmp_path / "m")).eval()
    groups = [Group(texts(((20,), (21,))))]
    runner = Runner(hf, layers_of(hf)[1], 0)
    goal = own_answers(runner, groups, [[0]] * 400, 0)
    assert isinstance(goal, OwnAnswers)
    drawn = torch.cat([step[0, :1].flatten() for step in goal.drawn])
    p = hf(torch.tensor([groups[0].texts[0].ids])).logits[0, -1].softmax(-1).detach()
    share = (drawn == int(p.argmax())).float().mean()
    error = float((p.max() * (1 - p.max()) / len(drawn)).sqrt())
    assert abs(float(share) - float(p.max())) < 5 * error


def test_learning_rates() -> None:
    assert rate_at(0, 30, 3.0) == pytest.approx(1.0)
    assert rate_at(15, 30, 1.0) == pytest.approx(0.51)
    assert rate_at(30, 30, 1.0) == pytest.approx(0.02)


def test_components_and_layers() -> None:
    assert components_named(None, None, 3) == [f"L{i}_{kind}" for i in (1, 2) for kind in KINDS]
    assert components_named("L2_MLP, L0_ATTN", None, 3) == ["L0_ATTN", "L2_MLP"]
    assert components_named(None, "0,2-2", 3) == [f"L{i}_{kind}" for i in (0, 2) for kind in KINDS]
    for given, why in (
        (("L2_MLP", "1"), "give one"), (("L3_MLP", None), "no component 'L3_MLP'"),
        (("L1H0", None), "train L1_ATTN"), ((None, "2-1"), "layers 0 to 2"), ((None, "x"), "11-23"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=why):
            components_named(*given, 3)


KINDS = ("ATTN", "MLP")


def test_matrices_of_components(tmp_path: Path) -> None:
    for family, names in {
        "llama": ["model.layers.1.mlp.gate_proj", "model.layers.1.mlp.up_proj"],
        "gpt2": ["transformer.h.1.mlp.c_fc", "transformer.h.1.mlp.c_proj"],
    }.items():
        hf = AutoModelForCausalLM.from_pretrained(make_model(family, tmp_path / family))
        sites = sites_of(hf, ["L1_MLP", "L2_ATTN"])
        assert sites.first == 1
        assert sites.names[:2] == tuple(names)
        assert all(".2." in name and "attn" in name for name in sites.names if "mlp" not in name)


def row(own: str, other: str, wording: str = "a", **more: object) -> dict:
    """A prompt in words that the tiny tokenizer knows."""
    flipped = "w11" if other == "C" else "w10"
    moves = {"C": "w10", "D": "w11"}
    return {
        "prompt": f"w9 {wording} {moves[own]} {moves[other]}",
        "corrupt": f"w9 {wording} {moves[own]} {flipped}",
        "answer": "w10", "wrong_answer": "w11", "scenario": own + other, "template": wording,
        **more,
    }  # fmt: skip


def test_groups_hold_four_states_of_one_wording(tmp_path: Path) -> None:
    model = make_model("llama", tmp_path / "m")
    words = ("w4", "w5", "w6", "w7", "w8")
    rows = [row(own, "C", word) for word in words for own in "CD"]
    rows += [row("C", "D", "w4")]  # the first pair once more, exchanged
    data = training_data(read_prompts(jsonl(tmp_path / "p.jsonl", rows)), load_tokenizer(model))
    assert [{t.wording for t in group.texts} for group in data.held_out] == [{"w7"}]
    assert [{t.wording for t in group.texts} for group in data.train] == [
        {"w4"}, {"w5"}, {"w6"}, {"w8"}
    ]  # fmt: skip
    for group in (*data.train, *data.held_out):
        assert [text.state for text in group.texts] == list(STATES)
        assert group.texts[0].ids[:-2] == group.texts[3].ids[:-2]
    assert len(data.remarks) == 3
    order = visits(data.train, 6, 2, 0)
    assert [sorted(order[i] + order[i + 1]) for i in (0, 2, 4)] == [[0, 1, 2, 3]] * 3
    assert order != visits(data.train, 6, 2, 1)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"scenario": "S"}, "add the columns state_self and state_other"),
        ({"corrupt": "w9 w4 w10"}, "differ in length"),
        ({"answer": ["w10", "w5"]}, "one answer a side"),
        ({"state_self": "D", "state_other": "C"}, "a text of state"),
    ],
)
def test_files_that_cannot_be_trained_on(change: dict, why: str, tmp_path: Path) -> None:
    model = make_model("llama", tmp_path / "m")
    rows = [row(own, "C", word) for word in ("w4", "w5", "w6", "w7") for own in "CD"]
    rows.append(row("C", "C", "w4") | change)
    with pytest.raises(InputError, match=why):
        training_data(read_prompts(jsonl(tmp_path / "p.jsonl", rows)), load_tokenizer(model))
    rows = [row("C", "C", word) for word in ("w4", "w5", "w6", "w7")]
    with pytest.raises(InputError, match="to train on none is in state CC"):
        training_data(read_prompts(jsonl(tmp_path / "p.jsonl", rows)), load_tokenizer(model))
