"""What the workspace returns can be asked further, and says what it is in a few lines."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shell import IPD
from test_workspace import write_table

from circuitgraph import InputError, UsageError, Workspace, load_variant, read_prompts
from circuitgraph.base.notebook import facts
from circuitgraph.diff import kept
from circuitgraph.lenses.effect.lens import Effect
from circuitgraph.lenses.wiring import measure as wiring


@pytest.fixture
def workspace(copied: Path) -> Workspace:
    """A copy of the study, to be changed."""
    return Workspace(copied)


def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing may be compared, and no model asked."""

    def never(*arguments: object, **keywords: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("circuitgraph.diff.compare.compare_runs", never)
    monkeypatch.setattr("circuitgraph.lenses.mechanism.measure.mechanisms_of", never)
    monkeypatch.setattr(wiring, "channels_of", never)
    monkeypatch.setattr("circuitgraph.interventions.patching.pair.load_pair", never)


@pytest.mark.parametrize("lens", ["effect", "correlation", "wiring"])
@pytest.mark.some(1)
def test_the_same_question_again_is_read(
    workspace: Workspace, lens: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = ("base", "deontological-seed1")
    first = workspace.diff(*pair, lens=lens, null=["base:null-self-sft"])
    some = [*first.details.index, *first.table.index][0]  # 25 prompts claim no correlation
    edge = first.table.loc[some, ["source", "target"]]
    told = first.explain(*edge)
    unmeasured(monkeypatch)
    again = workspace.diff(*pair, lens=lens, null=["base:null-self-sft"])
    loaded = workspace.load_diff(first.id[:12])
    for other in (again, loaded):
        pd.testing.assert_frame_equal(other.table, first.table, check_exact=True)
        pd.testing.assert_frame_equal(other.extras, first.extras, check_exact=True)
        assert other.summary == first.summary
        assert (other.runs_a, other.confirmed) == (first.runs_a, first.confirmed)
        for name, values in first.lens_details.by_prompt.items():
            assert np.array_equal(other.lens_details.by_prompt[name], values, equal_nan=True)
        found = other.explain(*edge)
        assert found.text == told.text
        pd.testing.assert_frame_equal(found.per_prompt, told.per_prompt, check_exact=True)
    assert workspace.explain(*edge, *pair, lens=lens).text == told.text


@pytest.mark.thorough
def test_what_starts_from_a_diff_starts_from_the_kept_one(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = workspace.diff("base", "deontological")
    tested = first.blocks()
    changed = first.hubs()
    unmeasured(monkeypatch)
    pair = ("base", "deontological")
    again = workspace.blocks(*pair)
    pd.testing.assert_frame_equal(again.table, tested.table)
    assert again.summary == tested.summary
    pd.testing.assert_frame_equal(workspace.hubs(*pair, of="change"), changed)
    workspace.report(*pair, tmp_path / "a.html")
    monkeypatch.delattr("circuitgraph.hubs.change.difference_degrees")  # hubs are kept, too
    workspace.load_diff(first.id).report(tmp_path / "b.html")
    pages = [(tmp_path / name).read_text("utf-8") for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]
    assert workspace.export("base:deontological", "gexf", tmp_path / "g.gexf")
    with pytest.raises(AssertionError, match="measured again"):
        workspace.blocks(*pair, second="zero")


def test_another_method_version_measures_again_under_the_same_id(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = workspace.diff("base", "deontological", lens="correlation")
    monkeypatch.setattr(kept, "METHOD", kept.METHOD + 1)
    monkeypatch.setattr("circuitgraph.workspace.comparison.METHOD", kept.METHOD)
    with pytest.raises(InputError, match="kept by another version"):
        workspace.load_diff(first.id)
    again = workspace.diff("base", "deontological", lens="correlation")
    assert again.id == first.id
    assert workspace.load_diff(first.id).summary == again.summary


@pytest.mark.parametrize("lost", ["safetensors", "parquet"])
@pytest.mark.some(1)
def test_a_diff_of_an_older_version_or_with_a_lost_file_is_measured_again(
    workspace: Workspace, lost: str
) -> None:
    pair = ("base", "deontological-seed1")
    first = workspace.diff(*pair, null="base:null-self-sft", mechanism=False)
    record = workspace.diffs_folder / f"{first.id}.json"
    told = json.loads(record.read_text("ascii"))
    older = {key: told[key] for key in ("id", "name", "runs_a", "runs_b", "summary")}
    for change in ("file", "record"):
        if change == "file":
            (workspace.diffs_folder / f"{first.id}.{lost}").write_bytes(b"damaged")
        else:
            record.write_text(json.dumps(older), "ascii")
        again = workspace.diff(*pair, mechanism=False)
        assert again.summary["decoys"] == first.summary["decoys"]
        pd.testing.assert_frame_equal(again.table, first.table)
        assert workspace.load_diff(first.id).summary == again.summary


@pytest.mark.thorough
def test_the_last_one_asked_for_is_the_newest(workspace: Workspace) -> None:
    one = workspace.diff("base", "deontological", lens="correlation")
    workspace.diff("base", "utilitarian", lens="correlation")
    workspace.diff("base", "deontological", lens="correlation")
    assert workspace.query("diffs")["id"].iloc[0] == one.id
    (workspace.path / "graph.lbug").unlink()
    assert workspace.query("diffs")["id"].iloc[0] == one.id
    workspace.rebuild()
    assert workspace.query("diffs")["id"].iloc[0] == one.id


@pytest.mark.thorough
def test_a_copy_of_a_variant_makes_another_question(tmp_path: Path) -> None:
    """One variant is a fixed reference; two with equal values are too small a group."""
    workspace = Workspace(tmp_path / "w")
    for i, (name, recipe) in enumerate((("a", ""), ("b0", "B"), ("b1", "B"), ("b2", "B"))):
        workspace.ingest_table(write_table(tmp_path / f"{i}.csv", i), name=name, recipe=recipe)
    workspace.ingest_table(tmp_path / "0.csv", name="copy")
    found = [workspace.diff(side, "B", scope="recipe") for side in ("a", "a,copy", "a")]
    assert len({diff.id for diff in found}) == 1
    assert [diff.insufficient for diff in found] == [False, True, False]


def test_no_such_diff(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="no diff whose id begins with 'zz'"):
        workspace.load_diff("zz")


def test_a_lens_can_be_given_with_its_options(workspace: Workspace) -> None:
    named = workspace.diff("base", "deontological", scale="logit", mechanism=False)
    given = workspace.diff("base", "deontological", lens=Effect(scale="logit"), mechanism=False)
    assert named.id == given.id
    with pytest.raises(UsageError, match="scale"):
        workspace.diff("base", "deontological", lens=Effect(), scale="logit")
    with pytest.raises(UsageError, match="rank: applies to the correlation lens only"):
        workspace.diff("base", "deontological", lens="effect", rank=True)


@pytest.mark.thorough
def test_a_matrix_holds_every_edge_once(split: Path, study: Path) -> None:
    for folder, receivers in ((study, {"L0H0", "LOGITS"}), (split, {"L1H0.q", "LOGITS"})):
        diff = Workspace(folder).diff("base", "utilitarian", mechanism=False)
        matrix = diff.matrix()
        assert receivers <= {*matrix.columns}
        assert (matrix.index[0], matrix.columns[-1]) == ("EMBED", "LOGITS")
        assert np.isfinite(matrix.to_numpy()).sum() == np.isfinite(diff.table["delta"]).sum()
        row = diff.table.iloc[-1]
        assert matrix.loc[row["source"], row["target"]] == row["delta"]
    both_ways = Workspace(study).diff("base", "utilitarian", lens="correlation").matrix("weight_b")
    assert both_ways.equals(both_ways.T.rename_axis(index="source", columns="target"))


def test_a_workspace_is_a_collection_of_variants(study: Path, tmp_path: Path) -> None:
    workspace = Workspace(study)
    names = list(workspace)
    assert names == workspace.variants()["name"].tolist()
    assert (len(workspace), "base" in workspace, "nope" in workspace) == (len(names), True, False)
    base = workspace["base"]
    assert {run.kind for run in base.runs} == {"correlation", "effect"}
    pd.testing.assert_frame_equal(base.edges("effect"), workspace.edges("base", "effect"))
    graph = workspace.graph("base", "effect")
    assert graph.number_of_edges() == len(base.edges("effect"))
    assert workspace.graph("base", "effect", "igraph").ecount() == graph.number_of_edges()
    with pytest.raises(UsageError, match="no variant 'nope'"):
        workspace["nope"]
    with pytest.raises(UsageError, match="choose networkx or igraph"):
        workspace.graph("base", library="neato")
    diff = workspace.diff("base", "deontological", mechanism=False)
    diff.to_csv(tmp_path / "d.csv")
    assert len(pd.read_csv(tmp_path / "d.csv")) == len(diff.table)


def test_every_result_says_what_it_is_in_a_few_lines(study: Path, workspace: Workspace) -> None:
    diff = workspace.diff("base", "deontological")
    blocks = diff.blocks()
    edge = diff.table.loc[diff.details.index[0], ["source", "target"]]
    results = [
        workspace,
        workspace["base"],
        workspace["base"].runs[-1],
        workspace["base"].variant,
        workspace.catalogue(),
        diff,
        blocks,
        diff.explain(*edge),
        workspace.compare("base", ["deontological", "utilitarian"], lens="correlation"),
        workspace.plan(prompts=50),
        workspace.faithfulness("base", sizes=[0.1], random=0),
        workspace.patch("base", "deontological"),
        read_prompts(IPD / "prompts.jsonl"),
        read_prompts(IPD / "prompts.jsonl").prompts[0],
        load_variant(IPD / "base"),
    ]
    for result in results:
        told = repr(result)
        assert len(told) < 600, told[:1000]
        assert told.count("\n") < 4
        assert type(result).__name__.replace("KeptDiff", "Diff") in told


def test_a_kept_diff_is_shown_without_heavy_libraries(trio: Path, tmp_path: Path) -> None:
    words = ("base", "utilitarian", "-w", shutil.copytree(trio, tmp_path / "w"), "-q")
    heavy = ("torch", "transformers", "ladybug", "neo4j", "igraph")
    code = f"""
import sys
from circuitgraph.cli import run
assert run({["diff", *map(str, words)]!r}) == 0
loaded = [name for name in {heavy!r} if name in sys.modules]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_notebooks_show_results_as_tables_and_names_as_text(trio: Path) -> None:
    workspace = Workspace(trio)
    a, b = list(workspace)[:2]
    run = workspace[a].runs[0]
    assert "<th style='text-align:left'>n_scenarios" not in run._repr_html_()
    assert run.id in run._repr_html_()
    assert run.variant.fingerprint in run.variant._repr_html_()
    diff = workspace.diff(a, b, lens="correlation")
    assert diff._repr_html_().count("<tr") == 1 + (min(20, len(diff.claims)) or 10)
    none = workspace.diff(a, b, margin=1e6)  # without claims: what changed most
    assert none.claims.empty
    assert none._repr_html_().count("<tr") == 11
    assert "changed beyond a margin of 1e+06" in none._repr_html_()
    assert none.graph().is_directed()
    row = diff.table.iloc[0]
    assert "<table" in diff.explain(row["source"], row["target"])._repr_html_()
    assert "&lt;i&gt;" in facts("<i>", {"a": "<b>"})


@pytest.mark.parametrize("figure", ["volcano", "heatmap", "circuit", "trajectories", "hubs"])
def test_figures_are_drawn_at_the_width_of_a_column(trio: Path, figure: str) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="figures need matplotlib")
    pyplot.switch_backend("agg")
    workspace = Workspace(trio)
    diff = workspace.diff(*list(workspace)[:2], lens="correlation")
    axes = getattr(diff.plot, figure)(columns=2)
    axes.figure.canvas.draw()
    assert axes.figure.get_size_inches()[0] == 7.0
    if figure == "volcano":
        shown = sum(len(points.get_offsets()) for points in axes.collections)
        assert shown == diff.table["p"].notna().sum()
    pyplot.close(axes.figure)
    with pytest.raises(UsageError, match="``columns`` is 1 or 2"):
        getattr(diff.plot, figure)(columns=3)
