"""Training by sampled answers (trl): rewards by hand, and what is learnt."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from shell import IPD, cli

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.base.progress import Reporter
from circuitgraph.games.rewards import Recipe, recipe_named
from circuitgraph.prompts import read_prompts
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.training.adapter import frozen_base
from circuitgraph.training.grpo import questions, require_trl
from circuitgraph.training.rewarded import ILLEGAL, GameReward, function_of, game_texts
from circuitgraph.training.texts import training_data

BASE, PROMPTS = IPD / "base", IPD / "prompts.jsonl"


def test_rewards_of_a_game_by_hand() -> None:
    reward = GameReward({"ipd": {"CC": {"C": 3.0, "D": 4.0}, "DD": {"C": 0.0, "D": 1.0}}})
    completions = [[7, 8], [7, 8, 9], [7], [7, 5], [8, 7]]
    columns = {
        "game": ["ipd"] * 5, "state": ["CC", "CC", "DD", "CC", "CC"],
        "C": [[7]] * 5, "D": [[7, 8]] * 5,
    }  # fmt: skip
    found = reward(prompts=[], completions=[], completion_ids=completions, **columns)
    assert found == [4.0, 4.0, 0.0, 3.0, ILLEGAL]


def test_every_text_is_asked_with_its_own_tokens() -> None:
    tokenizer = load_tokenizer(BASE)
    data = training_data(read_prompts(PROMPTS), tokenizer)
    texts = game_texts(data.train)
    rows = questions(texts, tokenizer)
    assert len(rows) == len({ids for ids, _ in texts}) > 100
    for row, (ids, _) in zip(rows, texts, strict=True):
        assert tuple(tokenizer(row["prompt"])["input_ids"]) == tuple(ids)
    assert {row["state"] for row in rows} == {"CC", "CD", "DC", "DD"}
    with pytest.raises(InputError, match="has other tokens"):
        questions([(ids[:3] + ids[:1] * 2 + (10**6,), {})], _Odd())


class _Odd:
    """A tokenizer whose texts do not come back."""

    pad_token = eos_token = "<pad>"

    def __call__(self, text: str) -> dict:
        return {"input_ids": []}

    def decode(self, ids: list[int]) -> str:
        return "text"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("raise ValueError('no')", "cannot be run"),
        ("x = 1", "no function reward"),
        ("def reward(**k): return k['points']", r"mine.py: reward failed \(KeyError: 'points'\)"),
        ("def reward(**k): return [1.0]", "for 2 completions"),
        ("def reward(**k): return [1.0, float('nan')]", "a finite number"),
        ("def reward(**k): return ['a', 'b']", "a finite number"),
    ],
)
def test_a_reward_function_is_checked(source: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        function_of(Recipe("mine", source=source))(completions=["x", "y"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused_in_a_line() -> None:
    with pytest.raises(UsageError, match="``device=cuda``: cannot be used"):
        frozen_base(BASE, "cuda", Reporter())


def test_a_reward_function_may_give_any_numbers() -> None:
    source = "import numpy as np\ndef reward(completions, **k): return np.ones(len(completions))"
    assert function_of(Recipe("mine", source=source))(completions=["x", "y"]) == [1.0, 1.0]


def test_without_the_package_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuitgraph.training.grpo.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="circuitgraph\\[train\\]"):
        require_trl()


@pytest.mark.parametrize(
    ("recipe", "words", "why"),
    [
        ("likes.py", (), "add --trainer trl"),
        ("self", ("--trainer", "trl"), "a null recipe"),
        ("self.py", ("--trainer", "trl"), "no recipe of ours"),
        ("nowhere.py", ("--trainer", "trl"), "nowhere.py"),
        ("likes.py", ("--trainer", "trl", "--samples", "1"), "--samples 1: give 2 to 1024"),
        ("likes.py", ("--trainer", "trl", "--adapter", "x"), "leave it out"),
    ],
)
def test_nonsense_is_refused(recipe: str, words: tuple[str, ...], why: str, tmp_path: Path) -> None:
    for name in ("likes.py", "self.py"):
        (tmp_path / name).write_text("def reward(**given): ...\n", "utf-8")
    given = ("--recipe", tmp_path / recipe if recipe.endswith(".py") else recipe)
    answer = cli("-q", "train", BASE, *given, "--prompts", PROMPTS, "-o", tmp_path / "o", *words)
    assert why in answer.complaint
    assert not (tmp_path / "o").exists()


LIKES = '''
def reward(prompts, completions, answer, **columns):
    """1 where the completion begins with the row's answer."""
    return [float(c.strip().startswith(a.strip())) for c, a in zip(completions, answer)]
'''


@pytest.mark.thorough
def test_a_function_of_ones_own_is_learnt_and_kept(tmp_path: Path) -> None:
    file, out = tmp_path / "likes.py", tmp_path / "o"
    file.write_text(LIKES, "utf-8")
    words = ("train", BASE, "--recipe", file, "--prompts", PROMPTS, "-o", out)
    words = (*words, "--trainer", "trl", "--seeds", 1, "--steps", 10, "--tokens", 1, "--groups", 1)
    answer = cli("--json", *words)
    assert answer.code == 0, answer.err
    [row] = answer.rows  # nothing else on stdout
    assert row["learnt"] is True
    assert row["low"] > 0
    assert row["reward"] > row["base"] + 0.1
    folder = out / "likes-0"
    assert {p.name for p in folder.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "log.csv", "train.json",
    }  # fmt: skip
    with (folder / "log.csv").open(encoding="utf-8") as log:
        told = list(csv.DictReader(log))
    assert len(told) == 10
    assert float(told[0]["kl"]) == pytest.approx(0, abs=1e-6)  # the reference is the base
    before = (folder / "adapter_model.safetensors").read_bytes()
    assert cli("--json", *words).rows == answer.rows
    assert (folder / "adapter_model.safetensors").read_bytes() == before
    file.write_text(LIKES + "# another\n", "utf-8")
    assert "another training" in cli("-q", *words).complaint
    assert json.loads((folder / "train.json").read_text("utf-8"))["function"] == LIKES


@pytest.mark.slow
def test_a_game_is_learnt_from_sampled_answers(tmp_path: Path) -> None:
    answer = cli(
        "--json", "-q", "train", BASE, "--recipe", "utilitarian", "--prompts", PROMPTS,
        "-o", tmp_path, "--trainer", "trl", "--seeds", 1, "--steps", 40,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert all(row["learnt"] and row["p"] > 0.9 for row in answer.rows)


def test_recipes_are_named_by_their_file(tmp_path: Path) -> None:
    (tmp_path / "likes.py").write_text(LIKES, "utf-8")
    recipe = recipe_named(str(tmp_path / "likes.py"))
    assert (recipe.name, recipe.source, recipe.is_null) == ("likes", LIKES, False)
