"""The workspace as a class: what the command line says, said in Python."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shell import IPD, rows

from circuitgraph import InputError, UsageError, Workspace, read_prompts
from circuitgraph.base.progress import Reporter
from circuitgraph.diff.record import COLUMNS

NAMES = [f"unit{i}" for i in range(6)]


def write_table(path: Path, seed: int, rewired: bool = False) -> Path:
    """Sixty prompts in three scenarios; rewired, the second unit follows the first."""
    values = np.random.default_rng(seed).normal(size=(60, 6))
    if rewired:
        values[:, 1] = values[:, 0] + 0.1 * values[:, 2]
    frame = pd.DataFrame(values, columns=NAMES)
    frame.insert(0, "scenario", np.repeat(["a", "b", "c"], 20))
    frame.insert(0, "prompt_id", [f"p{i}" for i in range(60)])
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recipes of three tables each; the second recipe's are rewired."""
    folder = tmp_path_factory.mktemp("made")
    workspace = Workspace(folder / "workspace")
    for i in range(6):
        file = write_table(folder / f"{i}.csv", i, rewired=i >= 3)
        workspace.ingest_table(file, name=f"{'ab'[i // 3]}{i % 3}", recipe="AB"[i // 3])
    return folder


@pytest.fixture
def tables(made: Path, tmp_path: Path) -> Workspace:
    """A copy of those six tables and their files."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return Workspace(tmp_path / "workspace")


def test_tables_to_claims_to_graph(tables: Workspace) -> None:
    diff = tables.diff("a0", "b0")
    assert (diff.lens, diff.scope, diff.name) == ("correlation", "checkpoint", "a0 → b0")
    assert tuple(diff.table.columns) == COLUMNS
    [claim] = diff.claims.to_dict("records")
    assert (claim["source"], claim["target"], claim["verdict"]) == ("unit0", "unit1", "rewired")
    [row] = tables.query("rewired").to_dict("records")
    assert (row["source"], row["target"], row["delta"]) == ("unit0", "unit1", claim["delta"])
    found = tables.cypher("MATCH (d:Diff) WHERE d.a = $a RETURN d.n_claims AS n", {"a": "a0"})
    assert found["n"].tolist() == [1]


def test_a_diff_is_kept_whole(tables: Workspace) -> None:
    diff = tables.diff("a0", "b0")
    pd.testing.assert_frame_equal(
        pd.read_parquet(tables.diff_path(diff)).astype(str), diff.table.astype(str)
    )
    record = json.loads(tables.diff_path(diff).with_suffix(".json").read_text("ascii"))
    assert record["summary"] == json.loads(json.dumps(diff.summary))
    again = tables.diff("a0", "b0")
    assert again.id == diff.id
    assert len(tables.query("diffs")) == 1
    assert tables.diff("a0", "b0", margin=0.2).id != diff.id


def test_the_newest_diff_is_the_last_one_made_however_fast(tables: Workspace) -> None:
    for margin in (0.1, 0.2, 0.3, 0.4):
        diff = tables.diff("a0", "b0", margin=margin)
        assert tables.query("diffs")["id"].iloc[0] == diff.id


def test_recipes_by_name_by_list_and_against_one_reference(tables: Workspace) -> None:
    named = tables.diff("A", "B", scope="recipe")
    listed = tables.diff("a0,a1,a2", "b0, b1,b2", scope="recipe")
    pd.testing.assert_frame_equal(named.table, listed.table)
    assert [(row.source, row.target) for row in named.claims.itertuples()] == [("unit0", "unit1")]
    assert not tables.diff("a0", "B", scope="recipe").insufficient
    with pytest.raises(UsageError, match="'A' is a recipe, not a variant; ``scope=\"recipe\"``"):
        tables.diff("A", "B")


def test_null_pairs_are_names_or_tuples(tables: Workspace) -> None:
    diff = tables.diff("a0", "b0", null=["a0:a1", ("a1", "a2")])
    assert [(d["a"], d["b"], d["n_claims"]) for d in diff.summary["decoys"]] == [
        ("a0", "a1", 0),
        ("a1", "a2", 0),
    ]


def test_many_against_one(tables: Workspace) -> None:
    found = tables.compare("a0", ["a1", "b0", "b1"])
    [row] = found.table[found.table["n_claims"] > 0].to_dict("records")
    assert row["pattern"] == "only in B (2 of 2)"
    assert row["specific"]
    assert (row["n_claims"], row["n_recipes"]) == (2, 1)
    assert list(found.diffs) == ["a1", "b0", "b1"]


def test_many_against_one_reads_the_diffs_that_are_kept(
    tables: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = ["a1", "b0", "b1"]
    measured = tables.compare("a0", others)
    kept = [tables.diff("a0", name).id for name in others]
    monkeypatch.delattr("circuitgraph.diff.many.compare_runs")
    found = tables.compare("a0", others)
    assert [diff.id for diff in found.diffs.values()] == kept
    pd.testing.assert_frame_equal(found.table, measured.table, check_exact=True)
    with pytest.raises(NameError):
        tables.compare("a0", others, alpha=0.01)


def test_an_unknown_component_is_named_before_anything_is_compared(tables: Workspace) -> None:
    with pytest.raises(UsageError, match="did you mean unit1\\?$"):
        tables.explain("UNIT1", "unit0", "a0", "b0", margin=-1.0)  # which a diff would refuse


def test_an_edge_explained_in_either_order(tables: Workspace) -> None:
    found = tables.explain("unit1", "unit0", "a0", "b0")
    assert (found.source, found.target) == ("unit0", "unit1")
    assert len(found.per_prompt) == 60
    assert found.per_scenario["n"].tolist() == [20, 20, 20]
    assert "Verdict: rewired" in found.text


def test_edges_and_hubs(tables: Workspace) -> None:
    edges = tables.edges("b0")
    assert len(edges) == 15
    assert edges.loc[edges["weight"].idxmax(), ["source", "target"]].tolist() == ["unit0", "unit1"]
    assert set(tables.hubs("b0")["component"]) == set(NAMES)
    assert "changed" in tables.hubs("a0", "b0")
    with pytest.raises(UsageError, match="no effect run"):
        tables.edges("b0", "effect")


def test_the_same_table_again_is_the_same_run(tables: Workspace, tmp_path: Path) -> None:
    before = tables.runs()
    run = tables.ingest_table(tmp_path / "0.csv", name="a0")
    assert run.id == before["id"][0]
    pd.testing.assert_frame_equal(tables.runs(), before)
    assert run.variant.recipe == "A"


def test_a_name_stands_for_one_thing(tables: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="other weights or values; .*remove NAME"):
        tables.ingest_table(tmp_path / "1.csv", name="a0")
    with pytest.raises(UsageError, match="a variant of recipe 'A'"):
        tables.ingest_table(tmp_path / "0.csv", name="a0", recipe="B")
    assert len(tables.runs()) == 6


def test_remove_takes_runs_and_their_diffs_and_frees_the_name(
    tables: Workspace, tmp_path: Path
) -> None:
    gone, kept = tables.diff("a0", "b0"), tables.diff("a1", "b1")
    tables.diff("A", "B", scope="recipe")
    assert tables.remove("a0") == 1
    assert "a0" not in tables.variants()["name"].tolist()
    assert not tables.diff_path(gone).exists()
    assert [path.stem for path in tables.diffs_folder.glob("*.parquet")] == [kept.id]
    assert tables.query("diffs")["a"].tolist() == ["a1"]
    assert "a0" not in tables.query("variants")["variant"].tolist()
    tables.ingest_table(tmp_path / "1.csv", name="a0")


def test_a_lost_graph_is_made_again_from_the_runs(tables: Workspace) -> None:
    before = tables.query("runs")
    for file in tables.path.glob("graph.lbug*"):
        file.unlink()
    pd.testing.assert_frame_equal(tables.query("runs"), before)
    assert tables.sync() == 0


def test_run_ids_choose_and_must_be_of_the_variants(study: Path, copied: Path) -> None:
    said: list[str] = []

    class Listening(Reporter):
        def remark(self, text: str) -> None:
            said.append(text)

    workspace = Workspace(copied, reporter=Listening())
    few = read_prompts(IPD / "prompts.jsonl")
    for name in ("base", "utilitarian"):
        adapter = None if name == "base" else IPD / "variants" / name
        recipe = "" if name == "base" else name
        options = {"name": name, "recipe": recipe, "edges": ["correlation"], "load": False}
        workspace.ingest(IPD / "base", adapter=adapter, prompts=few, **options)
    said.clear()
    newest = workspace.diff("base", "utilitarian", lens="correlation")
    assert newest.summary["n"] == 120
    assert "several runs can be compared" in said[0]
    listed = workspace.runs()
    old = [
        listed[(listed["variant"] == name) & (listed["kind"] == "correlation")]["id"].iloc[0]
        for name in ("base", "utilitarian")
    ]
    assert workspace.diff("base", "utilitarian", run=f"{old[0]}:{old[1][:10]}").summary["n"] == 25
    new = newest.runs_b[0].id
    with pytest.raises(UsageError, match="prompts"):
        workspace.diff("base", "utilitarian", run=f"{old[0]}:{new}")
    with pytest.raises(UsageError, match="is a run of 'utilitarian', not of 'base'"):
        workspace.diff("base", "utilitarian", run=f"{new}:{new}")


def test_runs_of_other_methods_are_not_compared(copied: Path) -> None:
    workspace = Workspace(copied)
    options = {"prompts": IPD / "prompts.jsonl", "edges": ["correlation"], "load": False}
    workspace.ingest(IPD / "base", name="layers", granularity="layer", **options)
    with pytest.raises(UsageError, match=r"granularity \('head' and 'layer'\)"):
        workspace.diff("base", "layers", lens="correlation")
    with pytest.raises(UsageError, match="has no effect run"):
        workspace.diff("base", "layers", lens="effect")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"edges": []}, "``edges="),
        ({"edges": ["causal"]}, "causal"),
        ({"name": ""}, "``name`` is empty"),
        ({"batch_size": 0}, "batch size"),
        ({"estimator": "guess"}, "guess"),
    ],
)
def test_senseless_ingests_are_refused_before_any_work(
    tmp_path: Path, options: dict, told: str
) -> None:
    words = {"name": "base", "prompts": IPD / "prompts.jsonl", **options}
    with pytest.raises((UsageError, InputError), match=told):
        Workspace(tmp_path / "w").ingest(IPD / "base", **words)
    assert not (tmp_path / "w").exists()


def test_both_ways_say_the_same(study: Path) -> None:
    workspace = Workspace(study)
    assert rows("variants", "-w", study) == json.loads(
        workspace.variants().to_json(orient="records")
    )
    table = workspace.diff("base", "utilitarian", scope="checkpoint").table
    found = rows("diff", "base", "utilitarian", "-w", study)
    assert [row["verdict"] for row in found] == table["verdict"].tolist()


@pytest.mark.parametrize("format_", ["gexf", "graphml", "csv", "cx2"])
def test_variants_and_diffs_export_in_every_format(
    study: Path, tmp_path: Path, format_: str
) -> None:
    workspace = Workspace(study)
    [*one] = workspace.export(["base"], format_, tmp_path / "one")
    [*claims] = workspace.export(["base:deontological"], format_, tmp_path / "claims")
    assert one
    assert claims
    many = workspace.export(["base", "utilitarian"], format_, tmp_path / "many")
    assert all(path.stat().st_size > 100 for path in (*one, *claims, *many))
    made = {path for path in (tmp_path / "many").rglob("*") if path.is_file()}
    assert made == set(many)
    assert {path.relative_to(tmp_path / "many").parts[0].partition(".")[0] for path in made} == {
        "base",
        "utilitarian",
    }
