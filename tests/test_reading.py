"""What ``prompts check`` and ``ingest`` tell of tokens, answers and decisions, on a tiny model."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from models import make_model
from shell import cli, done, jsonl
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from circuitgraph import Workspace
from circuitgraph.diff import behaviour
from circuitgraph.ingest import check, entry
from circuitgraph.ingest.check import check_prompts
from circuitgraph.stats import evidence

ROWS = [
    {"prompt": f"w{k} w5 w6", "corrupt": f"w{k} w7 w6", "answer": "w9", "wrong_answer": "w10",
     "scenario": "st"[k % 2]} for k in range(20, 26)
]  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("llama", tmp_path_factory.mktemp("model") / "base")


def write(folder: Path, rows: list[dict]) -> Path:
    file = folder / "p.jsonl"
    jsonl(file, rows)
    return file


def test_one_threshold_has_one_name() -> None:
    assert behaviour.LITTLE_MASS is check.LITTLE_MASS is entry.LITTLE_MASS is evidence.LITTLE_MASS
    assert check.MOVES is entry.MOVES is evidence.MOVES


def test_the_answers_tokens_are_shown_and_what_is_unknown_is_named(base: Path) -> None:
    rows = [*ROWS[:2], ROWS[2] | {"prompt": "w5 zebra", "corrupt": "w5 lion"}]
    told = check_prompts(rows, base)
    assert "answers as read, line 1: after 'w6', 'w9' against 'w10'" in told.lines()
    [unknown] = [line for line in told.lines() if line.startswith("note: unknown to this")]
    assert unknown.endswith("'zebra' (line 3), 'lion' (line 3)")
    assert any("corrupt has the very tokens of prompt on line 3" in line for line in told.lines())
    json.dumps(told.to_dict())


def test_a_chat_model_without_its_template_is_noted(base: Path, tmp_path: Path) -> None:
    chat = make_model("llama", tmp_path / "chat")
    settings = json.loads((chat / "tokenizer_config.json").read_text())
    settings["chat_template"] = "{% for m in messages %}w4 {{ m['content'] }}{% endfor %} w5"
    (chat / "tokenizer_config.json").write_text(json.dumps(settings))
    file = write(tmp_path, ROWS)
    said = done("prompts", "check", file, "--model", chat).out
    assert "has a chat template and the prompts are asked without it" in said
    with_it = done("prompts", "check", file, "--model", chat, "--chat-template").out
    assert "has a chat template" not in with_it
    assert "answers as read, line 1: after 'w5'" in with_it
    ingest = ("ingest", chat, "--name", "c", "--prompts", file, "--edges", "correlation")
    assert "has a chat template" in done("-w", tmp_path / "w", *ingest).err


@pytest.fixture(scope="module")
def spaced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows every word with and without a blank before it."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split

    folder = make_model("llama", tmp_path_factory.mktemp("model") / "spaced")
    words = [f"{blank}{word}" for word in ("yes", "no", "is", "it", ":") for blank in ("", " ")]
    inner = Tokenizer(WordLevel({w: i for i, w in enumerate(["<unk>", *words])}, unk_token="<unk>"))
    inner.pre_tokenizer = Split(Regex(r" ?\w+| ?:"), "isolated")
    PreTrainedTokenizerFast(tokenizer_object=inner).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("blank", ["", " "])
def test_a_likelier_spelling_of_the_answers_is_told(spaced: Path, blank: str) -> None:
    row = {"prompt": "is it :", "scenario": "s", "corrupt": "it is :"}
    row |= {"answer": f"{blank}yes", "wrong_answer": f"{blank}no"}
    told = check_prompts([row], spaced).model.spelling
    assert (told.written, told.other) == (f"{blank}yes", f"{'' if blank else ' '}yes")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(spaced)
    model = AutoModelForCausalLM.from_pretrained(spaced).eval()
    with torch.no_grad():
        ids = tokenizer("is it :", add_special_tokens=False)["input_ids"]
        p = model(torch.tensor([ids])).logits[0, -1].softmax(-1)
    masses = {b: float(sum(p[tokenizer.convert_tokens_to_ids(b + w)] for w in ("yes", "no")))
              for b in ("", " ")}  # fmt: skip
    assert told.mass == pytest.approx(masses[blank], rel=1e-4)
    assert told.other_mass == pytest.approx(masses["" if blank else " "], rel=1e-4)
    ratio = masses[""] / masses[" "]
    likelier = (ratio > 1) == (blank == " ")
    lines = told.lines()
    assert bool(lines) == (abs(math.log(ratio)) >= math.log(2))
    assert all(line.startswith("note: ") == likelier for line in lines)


def test_an_ingest_says_what_the_model_decides_and_what_corruption_moves(
    base: Path, tmp_path: Path
) -> None:
    file, workspace = write(tmp_path, ROWS), tmp_path / "w"
    said = done("-w", workspace, "ingest", base, "--name", "m", "--prompts", file).err
    [run] = [r for r in Workspace(workspace).catalogue().of("m") if r.kind == "effect"]
    right = sum(float(d) > 0 for d in run.arrays["decisions"])
    mass = float(run.arrays["mass"].mean())
    assert f"'m' prefers the answer on {right} of 6 prompts ({right / 6:.0%}); both" in said
    assert f"carry {mass:.0%} of the probability: mostly it would say something else" in said
    totals = [float(t) for t in run.arrays["totals"]]
    moved = sum(abs(t) >= 0.1 for t in totals)
    assert f"corruption changes the decision by {sum(map(abs, totals)) / 6:.2f} nats" in said
    assert f"({sum(totals) / 6:+.2f} with its sign), by 0.1 or more on {moved} of 6" in said
    again = done("-w", workspace, "ingest", base, "--name", "m", "--prompts", file).err
    assert "'m' prefers the answer" in again


def test_an_ingest_without_corrupt_says_that_effects_are_not_measured(
    base: Path, tmp_path: Path
) -> None:
    rows = [{("corupt" if k == "corrupt" else k): v for k, v in row.items()} for row in ROWS]
    file = write(tmp_path, rows)
    ingest = ("-w", tmp_path / "w", "ingest", base, "--name", "m", "--prompts", file)
    said = done(*ingest).err
    assert f"warning: {file}: unknown column 'corupt' (did you mean corrupt?), not read" in said
    assert f"effects are not measured: {file} has no corrupt" in said
    refused = cli(*ingest, "--edges", "effect")
    assert refused.code == 2
    assert "has no corrupt, which effects need (unknown column 'corupt'" in refused.err


def test_a_problem_is_told_once(base: Path, tmp_path: Path) -> None:
    file = write(tmp_path, [ROWS[0] | {"corrupt": "w5"}, *ROWS[1:]])
    answer = cli("prompts", "check", file, "--model", base)
    assert answer.code == 1
    assert (answer.out + answer.err).count("differ in length") == 1
    assert "PROBLEM" in answer.out
    assert "effects cannot be measured" in answer.err
