"""Games: payoffs and regrets known by hand, prompts that hold what they promise."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from shell import cli, done, rows
from test_tasks import small

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.games.opponents import OPPONENTS, opponent_named
from circuitgraph.games.payoffs import GAMES, STATES, games_named
from circuitgraph.games.rewards import (
    Recipe,
    deontological_regret,
    policy,
    recipe_named,
    reward,
    utilitarian_regret,
)
from circuitgraph.prompts import read_prompts
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.prompts.tokens import encode

__all__ = ["small"]  # a fixture, found here by name

TFT, RANDOM = OPPONENTS["tit-for-tat"], OPPONENTS["random"]
LEGAL = dict.fromkeys(STATES, 1.0)
MINE = "name = 'mine'\nCC = [5, 5]\nCD = [0, 3]\nDC = [3, 0]\nDD = [1, 1]\n"


def test_payoffs_are_those_of_the_study() -> None:
    assert GAMES["ipd"].cells == {"CC": (3, 3), "CD": (0, 4), "DC": (4, 0), "DD": (1, 1)}
    most = {name: game.most for name, game in GAMES.items()}
    assert most == {"ipd": 6, "ish": 8, "icn": 5, "bos": 5, "icd": 8, "ivd": 6}


def test_rewards_under_tit_for_tat_by_hand() -> None:
    """The other plays the learner's last move: C in states CC and CD."""

    def table(name: str) -> dict[str, tuple[float, float]]:
        return {s: tuple(reward(name, GAMES["ipd"], TFT, s, a) for a in "CD") for s in STATES}

    assert table("strategic") == {"CC": (3, 4), "CD": (3, 4), "DC": (0, 1), "DD": (0, 1)}
    assert table("utilitarian") == {"CC": (6, 4), "CD": (6, 4), "DC": (4, 2), "DD": (4, 2)}
    assert table("deontological") == {"CC": (0, -3), "CD": (0, 0), "DC": (0, -3), "DD": (0, 0)}
    assert table("hybrid") == {"CC": (3, 1), "CD": (3, 4), "DC": (0, -2), "DD": (0, 1)}
    assert reward("strategic", GAMES["ish"], RANDOM, "DD", "C") == 2.0
    assert reward("utilitarian", GAMES["ipd"], OPPONENTS["always-D"], "CC", "C") == 4.0
    assert reward("strategic", GAMES["ipd"], OPPONENTS["always-C"], "DD", "D") == 4.0


def test_the_policy_asked_for_is_the_softmax_of_rewards_over_beta() -> None:
    even = {"C": 0.5, "D": 0.5}
    assert policy({"C": 0.0, "D": 1.0}, even, 1 / 3)["D"] == pytest.approx(0.952574)
    assert policy({"C": 2.0, "D": 2.0}, {"C": 0.9, "D": 0.1}, 1.0)["C"] == pytest.approx(0.9)
    assert policy({"C": 9000.0, "D": 0.0}, even, 1e-3) == {"C": 1.0, "D": 0.0}


def test_regrets_by_hand() -> None:
    ipd = GAMES["ipd"]
    always = {move: dict.fromkeys(STATES, float(move == "C")) for move in "CD"}
    # D after C in two of four states costs 3 each
    assert deontological_regret(ipd, always["D"], LEGAL, TFT) == 1.5
    assert deontological_regret(ipd, always["C"], LEGAL, TFT) == 0
    # an opponent who plays either move: D earns (4 + 2)/2 together, C (6 + 4)/2
    assert utilitarian_regret(ipd, always["D"], LEGAL, RANDOM) == pytest.approx((6 - 3) / 12)
    assert utilitarian_regret(ipd, always["C"], LEGAL, RANDOM) == pytest.approx((6 - 5) / 12)
    nothing = dict.fromkeys(STATES, 0.0)
    assert deontological_regret(ipd, always["C"], nothing, TFT) == 6
    assert utilitarian_regret(GAMES["bos"], always["C"], nothing, RANDOM) == 1


def test_names_and_files_of_games_and_recipes(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINE, "utf-8")
    assert [game.name for game in games_named(f"ipd,{file}")] == ["ipd", "mine"]
    assert games_named(str(file))[0].cells["CC"] == (5, 5)
    assert len(games_named("all")) == 6
    for wrong, why in (("chess", "no game is called"), ("ipd,ipd", "named twice"), ("", "such as")):
        with pytest.raises(UsageError, match=why):
            games_named(wrong)
    for text, why in (
        ("CC = [1]", "own points"), ("CC = [1, nan]", "own points"), (MINE + "XX = 1", "no entry"),
        ("name = 'ipd'\n" + MINE.partition("\n")[2], "known game"), ("CC = ", "not TOML"),
    ):  # fmt: skip
        file.write_text(text, "utf-8")
        with pytest.raises(InputError, match=why):
            games_named(str(file))
    table = "".join(f"[{state}]\nC = 1\nD = 0.5\n" for state in STATES)
    file.write_text(table, "utf-8")
    same = {state: {"C": 1.0, "D": 0.5} for state in STATES}
    assert recipe_named(str(file)) == Recipe("mine", same)
    file.write_text(table.replace("D = 0.5", "", 1), "utf-8")
    with pytest.raises(InputError, match=r"\[CC\] must give a number to C and to D"):
        recipe_named(str(file))
    with pytest.raises(UsageError, match="no recipe"):
        recipe_named("kind")
    with pytest.raises(UsageError, match="no opponent"):
        opponent_named("nobody")


def made(model: Path, file: Path, *words: object) -> list[dict]:
    done("prompts", "make", "game", "--model", model, "-o", file, *words)
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def holds(model: Path, file: Path, found: list[dict], per_game: int) -> None:
    """What every file of game prompts must be."""
    encoded = encode(read_prompts(file), load_tokenizer(model)).prompts
    assert len({row.prompt for row in encoded}) == len(found)
    pairs = [frozenset((row.prompt, row.corrupt)) for row in encoded]
    assert len(set(pairs)) == len(found)  # no pair both ways
    for row, told in zip(encoded, found, strict=True):
        assert row.corrupt is not None
        assert len(row.corrupt) == len(row.prompt)
        changed = sum(a != b for a, b in zip(row.prompt, row.corrupt, strict=True))
        assert 1 <= changed <= len(row.answer)  # the other's last move
        assert not row.rest
        assert told["direction"] == (-1 if told["state_other"] == "C" else 1)
        assert told["answer"].strip() != told["wrong_answer"].strip()
    each = Counter(row["scenario"] for row in found)
    assert set(each.values()) == {per_game}
    assert len(each) == 5 * len({row["game"] for row in found})
    split = Counter(row["split"] for row in found)
    assert split["held-out"] * 3 == split["train"]
    frames = {(row["template"].split(",")[0], row["split"]) for row in found}
    assert len(frames) == len({name for name, _ in frames}) == min(24, per_game)


def label_first(row: dict) -> bool:
    """Whether the label of C is named before that of D."""
    return re.findall(r" ([AB])\b", row["prompt"])[0] == "A"


def test_game_prompts_are_distinct_pairs_of_equal_length(small: Path, tmp_path: Path) -> None:
    found = made(small, tmp_path / "ipd.jsonl")
    assert len(found) == 120
    holds(small, tmp_path / "ipd.jsonl", found, 24)
    for scenario in {row["scenario"] for row in found}:
        own = [row for row in found if row["scenario"] == scenario]
        assert sum(map(label_first, own)) == 12  # orders are balanced
    state = {row["scenario"]: row["state_self"] + row["state_other"] for row in found}
    assert state["ipd CC tempted"] == "CC"
    checked = rows("prompts", "check", tmp_path / "ipd.jsonl")["text"]
    assert checked["directions"] == "given"
    assert not any("exchanged" in found for found in checked["findings"])


def test_several_games_and_labels(small: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(MINE, "utf-8")
    file = tmp_path / "all.jsonl"
    found = made(small, file, "--game", f"all,{mine}", "--wordings", 12, "--labels", "XX,QQ")
    assert len(found) == 7 * 12 * 5
    holds(small, file, found, 12)
    assert {row["answer"] for row in found} == {" XX"}
    assert all(" A " not in row["prompt"] for row in found)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--labels", "A,A"), "give two words"),
        (("--labels", "A"), "give two words"),
        (("--labels", "A,BBBB"), "of equal length by --labels"),
        (("--wordings", "99"), "there are 1 to 72"),
        (("--chat",), "no chat template"),
        (("--n", "3"), "--n is no option of prompts make game"),
        (("--game", "go"), "no game is called 'go'"),
    ],
)
def test_what_cannot_be_made_is_refused(
    words: tuple[str, ...], why: str, small: Path, tmp_path: Path
) -> None:
    file = tmp_path / "x.jsonl"
    answer = cli("prompts", "make", "game", "--model", small, "-o", file, *words)
    assert why in answer.complaint
    assert not file.exists()


def test_columns_of_games_are_read_and_checked(tmp_path: Path) -> None:
    row = {"prompt": "p", "scenario": "s", "state_self": "C", "state_other": "D", "game": "ipd"}
    file = tmp_path / "p.jsonl"
    file.write_text(json.dumps(row) + "\n", "utf-8")
    [prompt] = read_prompts(file)
    assert (prompt.state, prompt.game, prompt.split) == ("CD", "ipd", None)
    for change in ({"state_self": "c"}, {"state_other": None}, {"state_other": "X"}):
        file.write_text(json.dumps(row | change) + "\n", "utf-8")
        with pytest.raises(InputError, match="line 1: state_self and state_other are"):
            read_prompts(file)


@pytest.mark.slow
def test_prompts_are_made_for_a_pretrained_tokenizer(smollm2: Path, tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    found = made(smollm2, file, "--chat")
    holds(smollm2, file, found, 24)
    assert {row["answer"] for row in found} == {"A"}
    assert all(row["prompt"].endswith("<|im_start|>assistant\n") for row in found)
