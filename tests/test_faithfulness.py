"""Faithfulness of real variants: what the table says, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from models import make_model
from shell import IPD, cli, done, rows

from circuitgraph import InputError, UsageError, Workspace
from circuitgraph.base.progress import Reporter
from circuitgraph.interventions.circuits.faithfulness import COLUMNS, Faithfulness, faithfulness
from circuitgraph.interventions.circuits.measure import run_circuits
from circuitgraph.runs.catalogue import RunCatalogue

NAME = "deontological"
FEW = 5  # random circuits of a size: most of the time goes into them


@pytest.fixture(scope="module")
def result(study: Path) -> Faithfulness:
    return Workspace(study).faithfulness(NAME, random=FEW)


def test_the_table_has_a_row_a_size(result: Faithfulness) -> None:
    table = result.table
    assert tuple(table.columns) == COLUMNS
    assert table["edges"].tolist() == [1, 1, 2, 3, 5, 11, 21, 42, 104, 207]
    assert (table["connected"] <= table["edges"]).all()
    assert (table["n"] == 25).all()
    last = table.iloc[-1]
    assert last["connected"] == 207
    assert last[["faithfulness", "low", "high", "random"]].tolist() == pytest.approx([1] * 4)
    assert (table["low"] <= table["faithfulness"] + 1e-9).all()
    assert (table["faithfulness"] <= table["high"] + 1e-9).all()


def test_a_trained_circuit_beats_random_edges(result: Faithfulness) -> None:
    """A tenth of the edges decides as all do; as many random ones decide nothing."""
    at_tenth = result.table[result.table["share"] == 0.1].iloc[0]
    assert at_tenth["faithfulness"] == pytest.approx(1, abs=0.05)
    assert at_tenth["random"] < 0.3
    assert result.summary["cpr_low"] > result.summary["random_cpr"]
    assert result.summary["cmd_high"] < result.summary["random_cmd"]


def test_areas_are_those_of_the_table(study: Path, result: Faithfulness) -> None:
    f, share = (result.table[name].to_numpy() for name in ("faithfulness", "share"))
    assert result.summary["cpr"] == pytest.approx(np.trapezoid(f, share))
    assert result.summary["cmd"] == pytest.approx(np.trapezoid(np.abs(1 - f), share))
    assert result.table["cpr"].iloc[-1] == result.summary["cpr"]
    mean = result.table["random"]
    assert result.summary["random_cpr"] == pytest.approx(np.trapezoid(mean, share))
    # of each draw |1 − f| first, then the mean: where draws err to both sides, that is more
    other = Workspace(study).faithfulness("utilitarian", sizes=[0.2, 0.5, 1])
    of_mean = np.trapezoid(np.abs(1 - other.table["random"]), other.table["share"])
    assert other.summary["random_cmd"] > of_mean + 0.01


@pytest.mark.parametrize(
    ("rank", "of"), [("magnitude", None), ("signed", None), ("magnitude", "base")]
)
@pytest.mark.some(1)
def test_a_size_by_the_public_table_and_one_circuit(study: Path, rank: str, of: str | None) -> None:
    """The edges that ``edges`` shows as strongest, decided alone, averaged by hand."""
    workspace = Workspace(study)
    edges = workspace.edges(of or NAME, "effect")
    run = workspace.catalogue().of(NAME, "effect")[-1]
    score = edges["weight"].abs() if rank == "magnitude" else edges["weight"]
    inside = np.zeros((1, 207), dtype=bool)
    inside[0, score.nlargest(21).index] = True
    decisions = run_circuits(run, inside, Reporter())[0]
    empty = run.arrays["decisions"] + run.totals
    frame = pd.DataFrame(
        {
            "scenario": [p.scenario for p in run.prompts],
            "gained": [p.direction for p in run.prompts] * (decisions - empty),
            "whole": [p.direction for p in run.prompts] * -run.totals,
        }
    )
    means = frame.groupby("scenario").mean().mean()
    found = workspace.faithfulness(NAME, sizes=[0.1], random=0, rank=rank, of=of).table
    assert found["faithfulness"].tolist() == pytest.approx([means["gained"] / means["whole"]], 1e-5)
    assert found[["random", "random_low", "cpr", "random_cmd"]].isna().all(axis=None)


@pytest.mark.thorough
def test_seeds_decide_what_is_random_and_nothing_else(study: Path, result: Faithfulness) -> None:
    again = Workspace(study).faithfulness(NAME, random=FEW)
    pd.testing.assert_frame_equal(again.table, result.table)
    assert again.summary == result.summary
    other = Workspace(study).faithfulness(NAME, seed=1, random=FEW)
    assert other.table["faithfulness"].tolist() == pytest.approx(
        result.table["faithfulness"].tolist(), abs=1e-5
    )
    assert other.table["random"].tolist() != result.table["random"].tolist()
    assert other.summary["cpr_low"] != result.summary["cpr_low"]


def test_a_run_without_anything_to_recover_is_refused(study: Path) -> None:
    run = Workspace(study).catalogue().of(NAME, "effect")[-1]
    still = replace(run, _arrays={**run.arrays, "totals": np.zeros_like(run.totals)})
    with pytest.raises(InputError, match="nothing for a circuit to recover"):
        faithfulness(RunCatalogue((still,)), NAME)


def test_a_small_total_is_told(study: Path) -> None:
    """Corruption hardly moves the utilitarian, whose single edges move it much."""
    found = Workspace(study).faithfulness("utilitarian", sizes=[0.5, 1], random=0)
    [remark] = found.summary["remarks"]
    assert "effects cancel" in remark
    assert Workspace(study).faithfulness(NAME, sizes=[1], random=0).summary["remarks"] == []


def test_a_model_that_is_not_what_was_ingested_is_refused(study: Path) -> None:
    run = Workspace(study).catalogue().of(NAME, "effect")[-1]
    files = {**run.variant.fingerprints, "weights": "0"}
    changed = replace(run, variant=replace(run.variant, fingerprints=files))
    with pytest.raises(InputError, match="no longer those ingested"):
        faithfulness(RunCatalogue((changed,)), NAME)
    moved = replace(run, _arrays={**run.arrays, "decisions": run.arrays["decisions"] + 0.1})
    with pytest.raises(InputError, match="decides otherwise than when it was ingested"):
        faithfulness(RunCatalogue((moved,)), NAME)


@pytest.mark.parametrize("ablation", ["mean", "zero"])
@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_both_ends_are_those_of_the_run(tmp_path: Path, family: str, ablation: str) -> None:
    """With ablations, answers of several tokens, split inputs, every prompt a scenario."""
    lines = [
        {"prompt": "w5 w9 w22 w7", "answer": "w8", "wrong_answer": "w19"},
        {"prompt": "w6 w7 w33", "answer": "w40 w12", "wrong_answer": "w11"},
        {"prompt": "w50 w9 w22 w7 w30", "answer": "w8", "wrong_answer": "w9 w13 w14"},
    ]
    text = "\n".join(json.dumps(line | {"scenario": f"s{i}"}) for i, line in enumerate(lines))
    (tmp_path / "p.jsonl").write_text(text, "utf-8")
    workspace = Workspace(tmp_path / "w")
    [run] = workspace.ingest(
        make_model(family, tmp_path / "model"),
        name="tiny",
        prompts=tmp_path / "p.jsonl",
        edges=["effect"],
        ablation=ablation,
        split_inputs=True,
        load=False,
    )
    found = workspace.faithfulness("tiny", random=2)
    signs = np.sign(run.totals)
    clean = run.arrays["decisions"]
    assert found.summary["clean"] == pytest.approx((signs * clean).mean(), abs=1e-4)
    assert found.summary["empty"] == pytest.approx((signs * (clean + run.totals)).mean(), abs=1e-4)
    assert found.summary["directions"] == "from totals"
    assert found.summary["evidence"] == "insufficient"
    assert found.table[["low", "high"]].isna().all(axis=None)
    assert found.table["faithfulness"].iloc[-1] == pytest.approx(1)


@pytest.mark.thorough
def test_the_command_says_what_the_class_says(study: Path, result: Faithfulness) -> None:
    words = ("faithfulness", NAME, "-w", study)
    found = pd.DataFrame(rows(*words, "--random", FEW)).astype(float)
    pd.testing.assert_frame_equal(found, result.table.astype(float))
    shown = done(*words, "--random", FEW)
    assert shown.out.splitlines()[0].split()[:4] == ["share", "edges", "connected", "faithfulness"]
    last = shown.out.splitlines()[-1]
    assert last.startswith(f"CPR {result.summary['cpr']:.3f} [")
    assert last.endswith("(areas from 0.1% to 100% of the edges)")
    some = rows(*words, "--sizes", "20, 5%", "--random", "0", "--rank", "signed")
    assert [row["share"] for row in some] == [0.05, 0.2]
    assert done(*words, "--sizes", "5", "--random", "0").out.splitlines()[-1].startswith("CPR and")


def test_a_run_is_chosen_by_its_id(study: Path) -> None:
    catalogue = Workspace(study).catalogue()
    run, other = catalogue.of(NAME, "effect")[-1], catalogue.of("base", "effect")[-1]
    words = ("faithfulness", NAME, "-w", study, "--sizes", "100", "--random", "0")
    assert done(*words, "--run", run.id[:12]).out
    answer = cli(*words, "--run", other.id)
    assert answer.code == 2
    assert f"{other.id[:12]} is no effect run of '{NAME}'" in answer.complaint


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nope",), "no variant 'nope'"),
        ((NAME, "--sizes", "much"), "--sizes 'much': write percentages"),
        ((NAME, "--sizes", "0,5"), "0 is no share of edges"),
        ((NAME, "--sizes", "120"), "1.2 is no share of edges"),
        ((NAME, "--sizes", "nan"), "nan is no share of edges"),
        ((NAME, "--random", "-1"), "--random"),
        ((NAME, "--rank", "best"), "'best' is not one of"),
        ((NAME, "--of", "nope"), "no variant 'nope'"),
        ((NAME, "--run", "zzz"), "no run whose id begins with 'zzz'"),
    ],
)
def test_wrong_use_is_told_before_the_model_is_loaded(
    study: Path, words: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("circuitgraph.models.stored.reload", None)
    answer = cli("faithfulness", *words, "-w", study)
    assert answer.code == 2
    assert told in answer.complaint


def test_correlations_have_no_circuits(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    workspace.ingest(
        IPD / "base", name="base", prompts=IPD / "prompts.jsonl", edges=["correlation"], load=False
    )
    with pytest.raises(UsageError, match="has no effect run; ingest it with ``edges=effect``"):
        workspace.faithfulness("base")
