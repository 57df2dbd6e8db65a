"""The wiring lens on real trained models, by command line and workspace."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from measured import table_run
from shell import IPD, cli, done, rows

from circuitgraph import Workspace
from circuitgraph.base.errors import UsageError
from circuitgraph.lenses.wiring import measure
from circuitgraph.lenses.wiring.against_base import base_of
from circuitgraph.models.stored import require_sources

CLAIMS = {"rewired", "sign_flip", "gained", "lost"}
TUNED = ("null-self-sft", "null-self-sft-seed1", "null-self-sft-seed2", "hybrid-l2-mlp-only")


def take(workspace: Path, prompts: Path, name: str, adapter: Path | None, *options: object) -> None:
    more = () if adapter is None else ("--adapter", adapter)
    words = ("ingest", IPD / "base", *more, "--name", name, "--prompts", prompts, *options)
    done(*words, "-w", workspace, "-q")


@pytest.fixture(scope="module")
def tuned(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base, three fine-tunes that teach nothing, and one of a single MLP; 25 prompts."""
    folder = tmp_path_factory.mktemp("wiring")
    options = {"prompts": examples / "prompts.jsonl", "edges": ["effect"], "estimator": "eap"}
    Workspace(folder).ingest(IPD / "base", name="base", load=False, **options)
    for name in TUNED:
        recipe = "nothing" if name.startswith("null") else ""
        adapter = IPD / "variants" / name
        Workspace(folder).ingest(
            IPD / "base", adapter=adapter, name=name, recipe=recipe, load=False, **options
        )
    return folder


def diff(workspace: Path, *words: object) -> list[dict]:
    return rows("diff", *words, "--lens", "wiring", "-w", workspace)


def claims(found: list[dict]) -> list[dict]:
    return [row for row in found if row["verdict"] in CLAIMS]


def test_a_model_against_itself(tuned: Path) -> None:
    found = diff(tuned, "base", "base", "--margin", "0")
    assert len(found) == 207
    assert {row["verdict"] for row in found} == {"not_detected", "not_testable"}
    assert {row["delta"] for row in found} == {0}


def test_every_claim_touches_the_one_component_that_was_trained(tuned: Path) -> None:
    found = diff(tuned, "base", "hybrid-l2-mlp-only")
    assert claims(found)
    for row in found:
        touched = "L2_MLP" in (row["source"], row["target"])
        assert touched or (row["delta"] == 0 and row["verdict"] not in CLAIMS)
        assert row["reason"] or 0 <= row["low"] <= row["delta"] <= row["high"] <= 1
        assert row["mechanism"] == ""


@pytest.mark.thorough
def test_a_fine_tune_that_teaches_nothing_rewires_nothing(tuned: Path) -> None:
    answer = done(
        *("diff", "base", "null-self-sft", "--lens", "wiring", "-w", tuned),
        *("--null", "base:null-self-sft-seed1"),
    )
    assert "0 of 206 testable edges changed" in answer.err
    assert "null pair base : null-self-sft-seed1: the same test claims 0 of 206" in answer.err
    assert "base against itself is 0 by construction" in answer.err
    assert "unchanged" in answer.out
    assert "a channel can be claimed from a change of about 0." in answer.err
    assert "carries an effect" not in answer.err


@pytest.mark.thorough
def test_the_functional_form(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "DRIFTS", 2)  # of random drifts nothing is asked here
    found = diff(tuned, "base", "hybrid-l2-mlp-only", "--form", "functional")
    into = [row for row in found if row["target"] == "L2_MLP" and not row["reason"]]
    before = [row for row in found if row["target"] in ("L0_MLP", "L1H0", "L2H3")]
    assert min(row["delta"] for row in into) > 0.02
    assert max(row["delta"] or 0 for row in before) == 0
    assert not claims(before)


def test_claims_are_kept_with_both_sides_of_the_change(tuned: Path) -> None:
    found = claims(diff(tuned, "base", "hybrid-l2-mlp-only"))
    text = (
        "MATCH (d:Diff)-[:COMPARES]->(:Run) WITH DISTINCT d WHERE d.lens = 'wiring' AND "
        "d.b = 'hybrid-l2-mlp-only' MATCH (s)-[r:REWIRED {diff: d.id}]->(t) "
        "RETURN s.name AS source, r.read AS read, r.write AS write, r.verdict AS verdict"
    )
    kept = rows("cypher", text, "-w", tuned)
    assert len(kept) >= len(found)
    for row in kept:
        assert (row["write"] if row["source"] == "L2_MLP" else row["read"]) > 0
    by_name = rows("query", "rewired", "-w", tuned)
    assert {row["lens"] for row in by_name} == {"wiring"}


def test_one_edge_explained(tuned: Path) -> None:
    words = ("explain", "L2_MLP", "L3_MLP", "base", "hybrid-l2-mlp-only", "--lens", "wiring")
    answer = done(*words, "-w", tuned)
    assert "wiring lens" in answer.out
    assert "the sender's writing alone" in answer.out
    table = list(csv.DictReader(io.StringIO(done(*words, "-w", tuned, "--format", "csv").out)))
    assert len(table) == 25
    assert list(table[0])[3:] == ["weight_a", "weight_b", "read", "write", "delta"]
    assert {float(row["read"]) for row in table} == {0}


def test_pages_graphs_and_many_at_once(tuned: Path, tmp_path: Path) -> None:
    pair = ("base", "hybrid-l2-mlp-only")
    done("report", *pair, "--lens", "wiring", "-o", tmp_path / "page.html", "-w", tuned)
    assert "wiring lens" in (tmp_path / "page.html").read_text("utf-8")
    words = ("--format", "graphml", "-o", tmp_path / "x.graphml", "--lens", "wiring", "-w", tuned)
    done("export", ":".join(pair), *words)
    assert "L2_MLP" in (tmp_path / "x.graphml").read_text("utf-8")
    table = rows("compare", *pair, "null-self-sft", "--lens", "wiring", "-w", tuned)
    assert {row["pattern"] for row in table} == {"", "only in hybrid-l2-mlp-only"}


@pytest.mark.thorough
def test_recipes_are_held_against_their_base(tuned: Path) -> None:
    found = diff(tuned, "base", "nothing", "--scope", "recipe")
    assert not claims(found)
    assert {row["weight_a"] for row in found if not row["reason"]} == {0}
    few = cli(
        *("diff", "base", "null-self-sft,null-self-sft-seed1", "--scope", "recipe"),
        *("--lens", "wiring", "-w", tuned),
    )
    assert few.code == 3
    assert "cannot tell" in few.err


def test_a_recipe_without_its_base_is_refused(tuned: Path, tmp_path: Path) -> None:
    workspace = shutil.copytree(tuned, tmp_path / "w")
    done("remove", "base", "-w", workspace, "-q")
    sides = (TUNED[0], ",".join(TUNED[1:3]))
    answer = cli("diff", *sides, "--scope", "recipe", "--lens", "wiring", "-w", workspace, "-q")
    assert answer.code == 2
    assert "ingest that without an adapter" in answer.complaint


@pytest.mark.thorough
def test_models_that_are_gone_are_told_before_anything_is_measured(
    examples: Path, tmp_path: Path
) -> None:
    adapter = Path(shutil.copytree(IPD / "variants" / "hybrid", tmp_path / "adapter"))
    workspace, prompts = tmp_path / "w", examples / "prompts.jsonl"
    take(workspace, prompts, "base", None, "--edges", "correlation")
    take(workspace, prompts, "tuned", adapter, "--edges", "correlation")
    words = ("diff", "base", "tuned", "--lens", "wiring", "-w", workspace)
    assert len(rows(*words)) == 207  # correlation runs stand for their models as well
    shutil.copy(IPD / "variants" / "strategic" / "adapter_model.safetensors", adapter)
    assert len(rows(*words)) == 207  # what was measured of the runs is kept
    answer = cli(*words, "--seed", 1)
    assert answer.code == 1
    assert "no longer those ingested" in answer.complaint
    shutil.rmtree(adapter)
    assert "no such adapter folder" in cli(*words, "--seed", 1).complaint


def test_what_has_no_weights_to_read_is_refused(tuned: Path) -> None:
    table = table_run(np.random.default_rng(0).normal(size=(30, 3)), ["s"] * 30)
    with pytest.raises(UsageError, match="table"):
        require_sources([table])
    gptj = {"name": "other", "model_type": "gptj"}
    run = Workspace(tuned).catalogue().of("base")[-1]
    with pytest.raises(UsageError, match="gptj"):
        require_sources([run, replace(run, variant=replace(run.variant, **gptj))])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--lens", "effect", "--form", "functional"), "form"),
        (("--lens", "effect", "--shared-basis"), "shared_basis"),
        (("--lens", "wiring", "--rank"), "rank"),
    ],
)
def test_options_that_do_not_apply(tuned: Path, options: tuple[str, ...], word: str) -> None:
    answer = cli("diff", "base", "null-self-sft", *options, "-w", tuned, "-q")
    assert answer.code == 2
    assert word in answer.complaint


def test_a_change_without_a_sign_is_shown_without_one(tuned: Path, tmp_path: Path) -> None:
    words = ("base", "hybrid-l2-mlp-only", "--lens", "wiring", "-w", tuned)
    done("report", *words, "-o", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert ">0." in page
    assert ">+0." not in page.split("What both decide")[0]


def test_hubs_of_change_by_wiring(tuned: Path) -> None:
    words = ("hubs", "base", "hybrid-l2-mlp-only", "--kind", "wiring", "-w", tuned)
    found = {row["component"]: row for row in rows(*words, "--of", "change")}
    assert found["L2_MLP"]["degree"] == max(row["degree"] for row in found.values()) > 0
    refused = cli(*words)
    assert refused.code == 2
    assert "hubs of change only" in refused.complaint


def test_a_base_named_in_the_comparison_goes_before_its_doubles(tuned: Path) -> None:
    catalogue = Workspace(tuned).catalogue()
    [base] = catalogue.of("base")
    double = replace(base, id="9", variant=replace(base.variant, name="double"), created="9999")
    every = replace(catalogue, runs=(*catalogue.runs, double))
    nulls = [run for run in catalogue.runs if run.variant.recipe == "nothing"]
    assert base_of([base], nulls, every.runs).id == base.id
    assert base_of([double], nulls, every.runs).id == double.id
