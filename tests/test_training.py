"""Training a small model on the game, and a pretrained one: what adapters then do."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from models import make_model
from safetensors.torch import load_file
from shell import IPD, cli, done

from circuitgraph import load_variant
from circuitgraph.games.payoffs import STATES
from circuitgraph.prompts import read_prompts
from circuitgraph.prompts.tokens import encode

BASE, PROMPTS = IPD / "base", IPD / "prompts.jsonl"


def train(out: Path, recipe: object, *words: object) -> Any:
    """Train and read the rows."""
    given = ("--recipe", recipe, "--prompts", PROMPTS, "-o", out)
    answer = cli("--json", "-q", "train", BASE, *given, *words)
    assert answer.code in (0, 3), answer.err
    return answer.rows


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """One seed of a recipe, fully trained."""
    out = tmp_path_factory.mktemp("trained")
    return out / "hybrid-0", train(out, "hybrid", "--seeds", 1)


def test_a_recipe_is_learnt_and_said_so(hybrid: tuple[Path, list[dict]]) -> None:
    folder, found = hybrid
    assert [row["state"] for row in found] == list(STATES)
    for row in found:
        assert row["learnt"] is True
        assert row["legal"] > 0.98
        assert row["low"] <= row["p"] <= row["high"]
        assert abs(row["p"] - row["target"]) < 0.1
        assert 0.4 < row["base"] < 0.65
    assert [round(row["target"], 3) for row in found] == [0.998, 0.047, 0.998, 0.047]
    record = json.loads((folder / "train.json").read_text("utf-8"))
    assert record["rewards"]["ipd"]["CC"] == {"C": 3, "D": 1}
    assert (record["seed"], record["steps"], record["recipe"]) == (0, 60, "hybrid")
    assert set(record["versions"]) >= {"circuitgraph", "torch", "peft"}
    with (folder / "log.csv").open(encoding="utf-8") as file:
        log = list(csv.DictReader(file))
    assert len(log) == 60
    assert float(log[-1]["loss"]) < 0.1 < float(log[0]["loss"])
    assert not [file for file in folder.parent.iterdir() if file.name.startswith(".")]


def test_the_table_is_what_the_stored_adapter_does(hybrid: tuple[Path, list[dict]]) -> None:
    """The folder as ingest reads it, against the numbers told after training."""
    folder, found = hybrid
    loaded = load_variant(BASE, folder)
    record = json.loads((folder / "train.json").read_text("utf-8"))
    assert loaded.change == pytest.approx(record["change"], rel=1e-3)
    encoded = encode(read_prompts(PROMPTS), loaded.tokenizer).prompts
    hf, by_state = loaded.merged(), dict[str, list[float]]()
    with torch.no_grad():
        for row in encoded:
            logits = hf(torch.tensor([row.prompt])).logits[0, -1]
            p = torch.sigmoid(logits[row.answer[0]] - logits[row.wrong_answer[0]])
            by_state.setdefault(row.source.scenario[:2], []).append(float(p))
    for row in found:  # all prompts here, held-out ones there
        own = by_state[row["state"]]
        assert sum(own) / len(own) == pytest.approx(row["p"], abs=0.02)


def test_a_finished_seed_is_kept_and_an_interrupted_one_ends_the_same(tmp_path: Path) -> None:
    words = ("--steps", 3, "--rank", 2, "--components", "L2_MLP")
    train(tmp_path, "utilitarian", "--seeds", 2, *words)
    first, second = (tmp_path / f"utilitarian-{seed}" for seed in (0, 1))
    before = [(folder / "adapter_model.safetensors").read_bytes() for folder in (first, second)]
    assert before[0] != before[1]
    stamp = (first / "train.json").stat().st_mtime_ns
    settings = (second / "adapter_config.json").read_bytes()
    shutil.rmtree(second)
    train(tmp_path, "utilitarian", "--seeds", 2, *words)
    assert (first / "train.json").stat().st_mtime_ns == stamp
    assert (second / "adapter_model.safetensors").read_bytes() == before[1]
    assert (second / "adapter_config.json").read_bytes() == settings
    names = load_file(first / "adapter_model.safetensors")
    assert {name.split(".lora_")[0].rpartition(".")[0] for name in names} == {
        "base_model.model.model.layers.2.mlp"
    }
    given = ("--recipe", "utilitarian", "--prompts", PROMPTS, "-o", tmp_path, "--seeds", 1)
    told = cli("train", BASE, *given, "--steps", 4, "--rank", 2, "--components", "L2_MLP", "-q")
    assert "holds the result of another training" in told.complaint
    assert str(BASE.parent) not in settings.decode()


def test_a_second_phase_goes_on_from_an_adapter(
    hybrid: tuple[Path, list[dict]], tmp_path: Path
) -> None:
    words = ("--adapter", hybrid[0], "--steps", 2, "--seeds", 1, "--rate", 1e-9)
    found = train(tmp_path, "utilitarian", *words)
    for row, before in zip(found, hybrid[1], strict=True):
        assert row["base"] == pytest.approx(before["p"], abs=1e-3)  # where this phase begins
        assert row["p"] == pytest.approx(before["p"], abs=1e-3)
        assert row["learnt"] is False
    told = cli(
        "train", BASE, "--recipe", "self", "--prompts", PROMPTS, "-o", tmp_path, "--layers", "1",
        "--adapter", hybrid[0],
    ).complaint  # fmt: skip
    assert "leave components and layers out" in told


@pytest.mark.thorough
def test_null_recipes_have_nothing_to_learn(tmp_path: Path) -> None:
    own = train(tmp_path, "self", "--seeds", 1, "--steps", 12)
    assert all(row["learnt"] is None and row["target"] is None for row in own)
    assert all(abs(row["p"] - row["base"]) < 0.1 for row in own)
    drawn = train(tmp_path, "random", "--seeds", 1, "--steps", 2)
    assert all(row["learnt"] is None for row in drawn)
    weights = load_file(tmp_path / "self-0" / "adapter_model.safetensors")
    assert any(float(v.abs().max()) > 0 for k, v in weights.items() if "lora_B" in k)


def test_a_table_of_rewards_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mirror.toml"
    lines = (f"[{s}]\nC = {int(s[0] == 'C')}\nD = {int(s[0] == 'D')}\n" for s in STATES)
    file.write_text("".join(lines), "utf-8")
    found = train(tmp_path, file, "--seeds", 1, "--steps", 1)
    assert [round(row["target"], 3) for row in found] == [0.953, 0.953, 0.047, 0.047]
    assert found[0]["adapter"] == "mirror-0"
    assert found[0]["learnt"] is False


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--components", "L9_MLP"), "no component 'L9_MLP'"),
        (("--components", "L1H2"), "train L1_ATTN"),
        (("--layers", "3-9"), "the model has layers 0 to 3"),
        (("--beta", "0"), "--beta 0.0: give a number above 0"),
        (("--seeds", "0"), "--seeds 0: give 1 to 1000"),
        (("--recipe", "kind"), "no recipe 'kind'"),
        (("--prompts", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--adapter", "nowhere"), "no such adapter folder"),
    ],
)
def test_nonsense_is_refused_before_the_model_is_loaded(
    words: tuple[str, ...], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from circuitgraph.training import adapter as module

    monkeypatch.setattr(module, "load_base", lambda _: pytest.fail("the model is loaded"))
    given = {"--recipe": "hybrid", "--prompts": str(PROMPTS), "-o": str(tmp_path / "o")}
    given |= dict(zip(words[::2], words[1::2], strict=True))
    flat = [word for pair in given.items() for word in pair]
    answer = cli("-q", "train", BASE, *flat)
    assert why in answer.complaint
    assert not (tmp_path / "o").exists()


def test_answers_of_several_tokens_are_trained_whole(tmp_path: Path) -> None:
    """Labels of two tokens on a random model: both tokens are learnt."""
    model = make_model("llama", tmp_path / "m")
    lines = []
    for word in ("w4", "w5", "w6", "w7", "w8"):
        for own in ("w10", "w11"):
            lines.append(
                {
                    "prompt": f"w9 {word} {own} w10", "corrupt": f"w9 {word} {own} w11",
                    "answer": "w20 w21", "wrong_answer": "w20 w22", "template": word,
                    "scenario": f"{'CD'[own == 'w11']}C", "game": "ipd",
                }
            )  # fmt: skip
    file = tmp_path / "p.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    answer = cli(
        "--json", "-q", "train", model, "--recipe", "utilitarian", "--prompts", file, "-o",
        tmp_path / "out", "--seeds", 1, "--rate", "1e-2", "--layers", "0-2", "--steps", 60,
    )  # fmt: skip
    assert answer.code in (0, 3), answer.err
    assert all(row["p"] > 0.9 for row in answer.rows)
    with (tmp_path / "out" / "utilitarian-0" / "log.csv").open(encoding="utf-8") as log:
        legal = [float(step["legal"]) for step in csv.DictReader(log)]
    # the beginning is learnt too, as far as the norm of a random model's states allows
    assert legal[-1] > 20 * legal[0]


ASKED = {
    "strategic": (0, 0, 0, 0), "utilitarian": (1, 1, 1, 1), "hybrid": (1, 0, 1, 0),
    "deontological": (1, None, 1, None),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ASKED)
def test_a_pretrained_model_learns_each_recipe_in_most_seeds(
    recipe: str, smollm2: Path, tmp_path: Path
) -> None:
    file = tmp_path / "ipd.jsonl"
    done("prompts", "make", "game", "--model", smollm2, "--chat", "-o", file)
    given = ("--recipe", recipe, "--prompts", file, "-o", tmp_path / "out")
    answer = cli("--json", "-q", "train", smollm2, *given)
    assert answer.code in (0, 3), answer.err
    right = 0
    for seed in range(4):
        own = [row["p"] for row in answer.rows if row["adapter"] == f"{recipe}-{seed}"]
        pairs = zip(own, ASKED[recipe], strict=True)
        right += all(asked is None or abs(p - asked) < 0.25 for p, asked in pairs)
    assert right >= 3
