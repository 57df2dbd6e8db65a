"""Verdicts on real trained models: no claim where nothing differs, some where much does."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import PER_SCENARIO, ingest_split
from safetensors.numpy import load_file, save_file
from shell import IPD, ROOT, cli, done, rows

from circuitgraph import Workspace

PUBLISHED = ROOT.parent / "shared" / "data" / "llm_morality"
CLAIMS = {"rewired", "sign_flip", "gained", "lost"}
NO_CLAIM = {"unchanged", "not_detected", "not_testable"}


def diff(workspace: Path, a: str, b: str, *options: object) -> list[dict]:
    return rows("diff", a, b, "-w", workspace, *options)


def claims(found: list[dict]) -> list[dict]:
    return [row for row in found if row["verdict"] in CLAIMS]


@pytest.fixture(scope="session")
def twins(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base under four names, and three times with an adapter whose B is zero."""
    folder = tmp_path_factory.mktemp("twins")
    adapter = Path(shutil.copytree(IPD / "variants" / "hybrid", folder / "zero"))
    file = adapter / "adapter_model.safetensors"
    save_file({k: v * ("lora_B" not in k) for k, v in load_file(file).items()}, file)
    workspace, prompts = Workspace(folder / "w"), examples / "prompts.jsonl"
    workspace.ingest(IPD / "base", name="base", prompts=prompts, load=False)
    for i in range(3):
        options: dict[str, Any] = {"prompts": prompts, "load": False}
        if i:  # correlations of the first alone are compared
            options["edges"] = ["effect"]
        workspace.ingest(IPD / "base", name=f"copy-{i}", recipe="copies", **options)
        options |= {"adapter": adapter, "recipe": "zeros"}
        workspace.ingest(IPD / "base", name=f"zero-{i}", **options)
    return folder / "w"


@pytest.mark.parametrize("lens", ["effect", "correlation"])
@pytest.mark.parametrize(
    ("a", "b", "scope"),
    [
        ("base", "base", "checkpoint"),
        ("base", "copy-0", "checkpoint"),
        ("base", "zero-0", "checkpoint"),
    ],
)
def test_nothing_is_claimed_where_nothing_differs(
    twins: Path, lens: str, a: str, b: str, scope: str
) -> None:
    found = diff(twins, a, b, "--lens", lens, "--scope", scope, "--margin", "0")
    assert len(found) == (207 if lens == "effect" else 190)
    assert {row["verdict"] for row in found} <= NO_CLAIM
    assert all(abs(row["delta"] or 0) < 1e-15 for row in found)


@pytest.mark.parametrize(("a", "b"), [("base", "zeros"), ("copies", "zeros"), ("copies", "copies")])
def test_replicates_with_equal_weights_are_one_and_cannot_tell(twins: Path, a: str, b: str) -> None:
    answer = cli("diff", a, b, "--scope", "recipe", "--margin", "0", "--json", "-w", twins)
    assert answer.code == 3
    assert all(row["delta"] == 0 for row in answer.rows if row["delta"] is not None)
    copies = "copy-0, copy-1 and copy-2" if b == "copies" else "zero-0, zero-1 and zero-2"
    assert f"{copies} have the same merged weights: one replicate" in answer.err


def test_an_adapter_that_does_nothing_is_told(twins: Path, examples: Path, tmp_path: Path) -> None:
    options = ("--adapter", twins.parent / "zero", "--name", "zero", "--edges", "correlation")
    prompts = ("--prompts", examples / "prompts.jsonl")
    answer = done("ingest", IPD / "base", *options, *prompts, "-w", tmp_path / "w")
    assert "changes no logit at all" in answer.err


@pytest.mark.thorough
def test_a_fine_tune_that_teaches_nothing_changes_next_to_nothing(split: Path) -> None:
    found = diff(split, "base", "null-self-sft")
    assert len(found) == 479
    assert len(claims(found)) <= 4  # 1%


@pytest.mark.thorough
def test_two_trainings_differ_on_some_edges(split: Path) -> None:
    found = diff(split, "deontological", "utilitarian")
    assert {row["input"] for row in found} == {"q", "k", "v", "in"}
    assert 3 <= len(claims(found)) <= 60
    assert all(row["mechanism"] for row in claims(found))
    assert all(row["low"] <= row["delta"] <= row["high"] for row in claims(found))


@pytest.mark.slow
def test_the_same_on_all_prompts_and_every_null(tmp_path: Path) -> None:
    nulls = [f"null-self-sft{seed}" for seed in ("", "-seed1", "-seed2", "-seed3")]
    names = ("base", "deontological", "utilitarian", *nulls)
    ingest_split(tmp_path, IPD / "prompts.jsonl", *names)
    for name in nulls:
        assert len(claims(diff(tmp_path, "base", name))) <= 4
    assert 3 <= len(claims(diff(tmp_path, "deontological", "utilitarian"))) <= 60


@pytest.mark.thorough
def test_recipes_differ_and_nulls_do_not(study: Path) -> None:
    recipe = ("--scope", "recipe")
    assert claims(diff(study, "deontological", "utilitarian", *recipe))
    assert claims(diff(study, "base", "deontological", *recipe))
    assert not claims(diff(study, "null-self-sft", "null-random-reward", *recipe))
    assert not claims(diff(study, "base", "null-self-sft", *recipe))


def test_a_null_pair_is_counted_beside_the_diff(study: Path) -> None:
    nulls = ("--null", "base:null-self-sft", "--null", "null-self-sft:null-self-sft-seed1")
    answer = done("diff", "base", "deontological", *nulls, "-w", study)
    told = re.findall(r"null pair (.+): the same test claims (\d+) of 20\d edges", answer.err)
    assert told == [
        ("base : null-self-sft", "0"),
        ("null-self-sft : null-self-sft-seed1", "0"),
    ]
    assert answer.err.count("‖ΔW‖/‖W‖ 0.0") == 2


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("deontological,deontological-seed1", "utilitarian,utilitarian-seed1"),
        ("base", "deontological,deontological-seed1"),
        ("base", "utilitarian-seed1"),
    ],
)
def test_too_few_seeds_cannot_tell_about_a_recipe(study: Path, a: str, b: str) -> None:
    answer = cli("diff", a, b, "--scope", "recipe", "--json", "-w", study)
    assert answer.code == 3
    assert "cannot tell" in answer.err
    assert {(row["verdict"], row["reason"]) for row in answer.rows} == {
        ("not_testable", "insufficient evidence")
    }
    assert all(row["delta"] is not None for row in answer.rows)
    told = cli("diff", a, b, "--scope", "recipe", "-w", study)
    assert told.code == 3
    assert "insufficient evidence" in told.out


def test_few_prompts_cannot_tell(examples: Path, tmp_path: Path) -> None:
    lines = (examples / "prompts.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "p.jsonl").write_text(
        "".join(lines[::PER_SCENARIO] + lines[1::PER_SCENARIO]), "utf-8"
    )
    for name in ("base", "utilitarian"):
        adapter = () if name == "base" else ("--adapter", IPD / "variants" / name)
        ingest = ("ingest", IPD / "base", *adapter, "--name", name, "--edges", "correlation")
        done(*ingest, "--prompts", tmp_path / "p.jsonl", "-w", tmp_path / "w", "-q")
    compared = ("base", "utilitarian", "-w", tmp_path / "w")
    assert cli("diff", *compared).code == 3
    assert cli("hubs", *compared).code == 3
    assert cli("report", *compared, "-o", tmp_path / "r.html").code == 3
    assert "cannot tell" in (tmp_path / "r.html").read_text("utf-8")
    for words in (("edges", "base"), ("hubs", "base"), ("query", "diffs"), ("query", "rewired")):
        assert cli(*words, "-w", tmp_path / "w").code == 0
    assert cli("explain", "L0H0", "L0H1", *compared).code == 0
    exported = ("export", "base:utilitarian", "--format", "gexf", "-o", tmp_path / "d.gexf")
    assert cli(*exported, "-w", tmp_path / "w").code == 0


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published tables are not here")
def test_the_published_tables_cannot_tell(tmp_path: Path) -> None:
    for name in ("De", "Ut"):
        file = PUBLISHED / f"component_activations_PT3_CORE{name}.json"
        [run] = rows("ingest-table", file, "--name", name, "-w", tmp_path)
        assert run["scenarios"] == 5
    answer = cli("diff", "De", "Ut", "--json", "-w", tmp_path)
    assert answer.code == 3
    assert len(answer.rows) == 1326
    assert {(row["verdict"], row["reason"]) for row in answer.rows} == {
        ("not_testable", "insufficient evidence")
    }
    assert {(row["n"], row["n_scenarios"], row["n_effective"]) for row in answer.rows} == {
        (10, 5, 5)
    }
    assert "553 of at least 0.3, 258 of at least 0.5, 95 of at least 0.7" in answer.err
    assert "5 duplicate prompts left out, 10 distinct ones used" in answer.err
    assert rows("query", "rewired", "-w", tmp_path) == []


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole demo, by the command line."""
    out = tmp_path_factory.mktemp("everything")
    answer = done("demo", "--out", out, "-q")
    assert len(answer.out.splitlines()) == 6
    assert answer.err == ""
    return out


RECIPES = ("strategic", "deontological", "utilitarian", "hybrid")
REAL = [(a, b) for i, a in enumerate(RECIPES) for b in RECIPES[i + 1 :]]


@pytest.mark.slow
@pytest.mark.parametrize(("a", "b"), REAL)
def test_every_two_recipes_differ(everything: Path, a: str, b: str) -> None:
    assert claims(diff(everything / "workspace", a, b, "--scope", "recipe"))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["strategic", "deontological", "hybrid"])
def test_recipes_differ_from_the_base(everything: Path, recipe: str) -> None:
    """Not all: what utilitarian training changes is within the spread of its seeds."""
    assert claims(diff(everything / "workspace", "base", recipe, "--scope", "recipe"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("null-self-sft", "null-random-reward"),
        ("base", "null-self-sft"),
        ("base", "null-random-reward"),
    ],
)
def test_no_null_recipe_differs(everything: Path, a: str, b: str) -> None:
    assert not claims(diff(everything / "workspace", a, b, "--scope", "recipe"))


@pytest.mark.slow
def test_the_demo_ends_with_a_command_that_works(everything: Path) -> None:
    again = done("demo", "--out", everything, "-q").out.splitlines()
    told = again[-1].split()
    answer = done(*told[told.index("-w") :])
    assert "Verdict:" in answer.out
    assert again[0].startswith("rewired: ")
    assert (everything / "index.html").stat().st_size > 10_000
