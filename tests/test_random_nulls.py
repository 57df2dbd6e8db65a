"""Null pairs that need no training: random updates of the size of a pair's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from shell import IPD, cli

from circuitgraph import Workspace
from circuitgraph.base.errors import UsageError
from circuitgraph.diff.random_nulls import claims_at, silent_at
from circuitgraph.lenses.base import Options
from circuitgraph.lenses.registry import lens_named
from circuitgraph.models.stored import reload
from circuitgraph.report.words import summary_lines
from circuitgraph.runs.record import list_runs, read_confirmed
from circuitgraph.updates.changes import tensors_of
from circuitgraph.updates.randomised import Randomised

NAMES = ("utilitarian", "null-self-sft")
OPTIONS = {"mechanism": False}


@pytest.fixture(scope="module")
def workspace(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return ingested(Workspace(tmp_path_factory.mktemp("w")), examples)


def ingested(made: Workspace, examples: Path, **options: str) -> Workspace:
    chosen = {"prompts": examples / "prompts.jsonl", "granularity": "layer", **options}
    made.ingest(IPD / "base", name="base", load=False, **chosen)
    for name in NAMES:
        made.ingest(IPD / "base", adapter=IPD / "variants" / name, name=name, load=False, **chosen)
    return made


@pytest.fixture
def variants(workspace: Workspace) -> dict:
    return workspace.catalogue().variants()


def test_the_model_moved_has_the_singular_values_of_the_pair(variants: dict) -> None:
    """Two adapters of one base: what parts them, by a whole decomposition."""
    a, b = variants["utilitarian"], variants["null-self-sft"]
    first, second = (tensors_of(reload(variant)[0]) for variant in (a, b))
    moved = Randomised.between(a, b)
    before = {name: tensor.clone() for name, tensor in tensors_of(moved.hf).items()}
    with moved.engine(0, 1, (1, 2, 3)) as engine:
        now = {name: t.clone() for name, t in tensors_of(moved.hf).items()}
        assert torch.equal(engine.embed, now["model.embed_tokens.weight"])
    for name, old in before.items():
        assert torch.equal(old, tensors_of(moved.hf)[name]), name  # put back
        real, drawn = ((t[name] - old).double() for t in (second, now))
        assert torch.equal(first[name], old)
        if not real.any():
            assert not drawn.any(), name
            continue
        told, found = (torch.linalg.svdvals(x)[:16] for x in (real, drawn))
        np.testing.assert_allclose(found, told, rtol=1e-3, atol=1e-5 * float(told[0]))
        assert abs(float((real * drawn).sum() / real.pow(2).sum())) < 0.3
    with moved.engine(0, 2, (1, 2, 3)):
        other = tensors_of(moved.hf)
        assert any(not torch.equal(other[name], now[name]) for name in other)


@pytest.mark.parametrize("lens", ["effect", "correlation"])
@pytest.mark.some(1)
def test_random_updates_are_counted_kept_and_no_variants(workspace: Workspace, lens: str) -> None:
    plain = workspace.diff("base", "utilitarian", lens=lens, **OPTIONS)
    diff = workspace.diff("base", "utilitarian", lens=lens, null="random:2", **OPTIONS)
    assert diff.id == plain.id
    assert diff.table.equals(plain.table)
    drawn = diff.summary["random"]
    assert (drawn["draws"], drawn["seed"]) == (2, 0)
    assert sum(drawn["claims"]) < diff.summary["n_claims"]
    assert drawn["silent_at"] >= diff.margin
    assert sum(line.startswith("random updates: of base") for line in summary_lines(diff)) == 1
    names = set(workspace.variants()["name"])
    assert names == {"base", *NAMES}
    runs = {run.id: run.created for run in list_runs(workspace.nulls_folder)}
    more = workspace.diff("base", "utilitarian", lens=lens, null=["random:3"], **OPTIONS)
    assert more.summary["random"]["claims"][:2] == drawn["claims"]
    after = {run.id: run.created for run in list_runs(workspace.nulls_folder)}
    assert len(after) == len(runs) + 1
    assert runs.items() <= after.items()  # measured once
    again = workspace.diff("base", "utilitarian", lens=lens, **OPTIONS)
    assert again.summary["random"] == more.summary["random"]
    seeded = workspace.diff("base", "utilitarian", lens=lens, null="random:1", seed=5, **OPTIONS)
    assert seeded.id != diff.id
    assert len(list_runs(workspace.nulls_folder)) == len(after) + 1
    dropped = workspace.diff("base", "utilitarian", lens=lens, null="none", **OPTIONS)
    assert (dropped.summary["random"], dropped.summary["decoys"]) == (None, [])


@pytest.mark.slow
def test_a_run_of_a_random_update_is_what_ingest_would_measure(
    workspace: Workspace, variants: dict, tmp_path: Path, examples: Path
) -> None:
    """The model moved, saved as a folder and ingested: the same numbers."""
    workspace.diff("base", "utilitarian", lens="effect", null="random:1", **OPTIONS)
    [run] = [
        run for run in list_runs(workspace.nulls_folder)
        if run.kind == "effect" and run.self_check["random"]["draw"] == 0
        and run.self_check["random"]["seed"] == 0 and run.variant.name.startswith("base")
    ]  # fmt: skip
    moved = Randomised.between(variants["base"], variants["utilitarian"])
    with moved.engine(0, 0, (1, 2, 3)):
        moved.hf.save_pretrained(tmp_path / "moved")
    moved.tokenizer.save_pretrained(tmp_path / "moved")
    other = Workspace(tmp_path / "w")
    prompts = examples / "prompts.jsonl"
    chosen = {"prompts": prompts, "granularity": "layer", "edges": "effect", "load": False}
    [again] = other.ingest(tmp_path / "moved", name="moved", **chosen)
    assert again.edges == run.edges
    np.testing.assert_allclose(again.effects, run.effects, atol=1e-4)


def test_the_margin_that_silences(workspace: Workspace) -> None:
    """At it nothing is claimed, a hair below something is; of a pair that differs."""
    a, b = (workspace.catalogue().of(name, "effect") for name in ("base", "utilitarian"))
    options = Options(lens_named("effect"), margin=0.01)
    at = silent_at(a, b, options, None)
    assert at > 0.01
    assert claims_at(a, b, at, options, None) == 0
    assert claims_at(a, b, 0.99 * at, options, None) > 0
    assert silent_at(a, b, replace(options, margin=at), None) == at
    table = workspace.diff("base", "utilitarian", lens="effect", margin=at, **OPTIONS)
    assert table.summary["n_claims"] == 0


@pytest.mark.slow
def test_claims_of_a_screen_are_confirmed_on_random_updates_too(
    examples: Path, tmp_path: Path
) -> None:
    screened = ingested(Workspace(tmp_path / "s"), examples, estimator="eap", edges="effect")
    diff = screened.diff("base", "utilitarian", null="random:2", margin=1e-4, **OPTIONS)
    assert any(diff.summary["random"]["claims"])
    runs = list_runs(screened.nulls_folder)
    assert len(runs) == 2
    known = {column: own for run in runs for column, own in read_confirmed(run).items()}
    assert known  # measured exactly on the model moved, which no file holds


@pytest.mark.slow
def test_they_go_with_the_runs_they_rest_on(examples: Path, tmp_path: Path) -> None:
    made = ingested(Workspace(tmp_path / "w"), examples, edges="correlation")
    made.diff("base", "utilitarian", null="random:1")
    made.diff("base", "null-self-sft", null="random:1")
    assert len(list_runs(made.nulls_folder)) == 2
    made.remove("utilitarian")
    assert len(list_runs(made.nulls_folder)) == 1


def test_where_there_is_no_random_update_it_is_said(workspace: Workspace, tmp_path: Path) -> None:
    for options, told in (
        ({"lens": "wiring"}, "the wiring lens holds every channel against random updates already"),
        ({"scope": "recipe"}, "replicates are the null of a recipe"),
    ):
        with pytest.raises(UsageError, match=told):
            workspace.diff("base", "utilitarian", null="random", **options)
    with pytest.raises(UsageError, match="draws nothing"):
        workspace.diff("base", "utilitarian", null="random:0")
    tables = Workspace(tmp_path / "t")
    for name in ("x", "y"):
        rows = "\n".join(f"p{i},s,{i * len(name)},{i**2}" for i in range(40))
        (tmp_path / f"{name}.csv").write_text(f"prompt_id,scenario,a,b\n{rows}\n")
        tables.ingest_table(tmp_path / f"{name}.csv", name=name)
    with pytest.raises(UsageError, match="'x' is a table, without weights"):
        tables.diff("x", "y", null="random")


def test_the_command_line_says_it_and_fails_on_claims(workspace: Workspace) -> None:
    words = ("diff", "base", "utilitarian", "-w", workspace.path, "--no-mechanism")
    answer = cli(*words, "--null", "random:2", "--fail-on", "claims")
    assert answer.code == 1
    assert "error: --fail-on: claims" in answer.err
    assert "random updates: of base moved at random as far as utilitarian is from it" in answer.err
    assert cli(*words, "--fail-on", "insufficient").code == 0
    assert cli(*words, "--margin", "5", "--fail-on", "claims").code == 0
    assert cli(*words, "--fail-on", "nothing").code == 2
