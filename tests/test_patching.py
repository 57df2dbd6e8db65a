"""Cross-model patches: statistics by hand, whole workspaces of small models, the graph."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import store_graphs as planted
from models import make_adapter, make_model
from shell import cli, done, rows
from store_graphs import same

from circuitgraph import UsageError, Workspace
from circuitgraph.base.errors import InputError
from circuitgraph.interventions import patching
from circuitgraph.interventions.patching import Options, keep, kept, kept_patch
from circuitgraph.interventions.patching.measure import greedy_sets, route_set
from circuitgraph.interventions.patching.record import COLUMNS, Gap
from circuitgraph.queries import run_query
from circuitgraph.runs.artefacts import put
from circuitgraph.runs.record import read_run
from circuitgraph.store import EmbeddedStore, Store, copy_graph, transfer_tables

# Two scenarios that the source pulls apart: up in the first, down in the second.
GAP = Gap(
    into=np.array([-1.0, -2.0, 1.0, 0.5, 0.5]),
    source=np.array([1.0, -1.0, -3.0, -0.5, 1.5]),
    scenarios=np.array([0, 0, 1, 1, 1]),
)


def test_the_gap_is_aligned_by_scenario_and_balanced() -> None:
    assert GAP.signs.tolist() == [1, 1, -1, -1, -1]
    # scenario 0: (2 + 1) / 2; scenario 1: (4 + 1 − 1) / 3
    assert GAP.size == pytest.approx((1.5 + 4 / 3) / 2)
    assert GAP.disagree.tolist() == [True, False, True, True, False]


def test_what_is_measured_of_a_patch() -> None:
    whole = GAP.source - GAP.into
    away = np.array([0.0, 3.0, 0.0, -1.0, -1.0])
    found = GAP.measured(np.array([whole, 0 * whole, away, 0.2 * whole]))
    assert found["share"].tolist() == pytest.approx([1, 0, (1.5 + 2 / 3) / 2 / GAP.size, 0.2])
    assert found["effect"].tolist() == pytest.approx((GAP.size * found["share"]).tolist())
    assert found["raw"].tolist() == pytest.approx([-0.2, 0, 0.2, -0.04])
    assert found["flips"].tolist() == [3, 0, 3, 0]
    assert found["flips_to_source"].tolist() == [3, 0, 1, 0]
    assert found["flips_away"].tolist() == [0, 0, 2, 0]
    assert found["n"].tolist() == [5] * 4
    # variance of `whole`: 0.5 / 2 and 19/3 / 3 over two scenarios; t on 3 degrees: 3.1824
    half = 3.1824463 * np.sqrt((0.25 + 19 / 9) / 4)
    assert found["high"][0] - found["effect"][0] == pytest.approx(half)
    assert found["effect"][0] - found["low"][0] == pytest.approx(half)


def test_where_variants_decide_alike_there_is_no_share() -> None:
    for noise in (0.0, 1e-7):
        gap = Gap(GAP.into, GAP.into + noise, GAP.scenarios)
        assert gap.size == 0
        assert np.isnan(gap.measured(np.ones((2, 5)))["share"]).all()
        for by in ("share", "flips"):
            assert greedy_sets(lambda sets: np.ones((len(sets), 5)), gap, "ab", 0.5, by).empty


def additive(effects: list[list[float]]):
    return lambda sets: sets.astype(float) @ np.array(effects)


def test_the_greedy_set_is_the_smallest_that_is_enough() -> None:
    whole = GAP.source - GAP.into
    shares = [0.05, 0.5, -0.5, 0.35, 0.1]
    changes = additive([(share * whole).tolist() for share in shares])
    found = greedy_sets(changes, GAP, "abcde", 0.8)
    assert found["component"].tolist() == ["b", "d"]
    assert found["share"].tolist() == pytest.approx([0.5, 0.85])
    assert found["reached"].tolist() == [False, True]
    assert found["step"].tolist() == [1, 2]
    alone = greedy_sets(changes, GAP, "abcde", 0.5)
    assert alone["component"].tolist() == ["b"]
    # what would only harm is never added, and the table says that it is not enough
    most = greedy_sets(additive([(s * whole).tolist() for s in (0.5, 0.2, -0.1)]), GAP, "abc", 1.0)
    assert most["component"].tolist() == ["a", "b"]
    assert not most["reached"].any()
    assert len(greedy_sets(additive([(0.01 * whole).tolist()] * 20), GAP, range(20), 1.0)) == 10


def test_a_set_may_be_judged_by_flips() -> None:
    flipping = [[0, 0, -1.5, -1.0, 0], [1.9, 0, -0.9, 0, 0], [0.2, 0, 0, 0, 0]]
    found = greedy_sets(additive(flipping), GAP, "abc", 1.0, "flips")
    assert found["component"].tolist() == ["a", "b"]
    assert found["flips_to_source"].tolist() == [2, 3]
    assert found["reached"].tolist() == [False, True]


def test_routes_hold_what_they_say() -> None:
    def held(*route) -> list[int]:
        return np.flatnonzero(route_set(3, *route)).tolist()

    # 0: EMBED, then attention and MLP of each layer
    assert held("residual", 0, 1) == [0, 1, 2, 3, 4]
    assert held("residual", 1, 1) == [3, 4]
    assert held("attention", 0, 2) == [1, 3, 5]
    assert held("mlp", 1, 2) == [4, 6]


PROMPTS = [(f"w{20 + i} w{30 + i} w{40 + i % 3} w9", "w8", "w19", f"s{i % 2}") for i in range(8)]


def prompt_file(path: Path, answers: bool = True) -> Path:
    lines = [
        {"prompt": p, "scenario": s, **({"answer": a, "wrong_answer": w} if answers else {})}
        for p, a, w, s in PROMPTS
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, a variant of it, one that changes nothing, and models that do not fit."""
    root = tmp_path_factory.mktemp("made")
    base = make_model("llama", root / "llama")
    workspace = Workspace(root / "workspace")
    prompts = prompt_file(root / "prompts.jsonl")
    options = {"prompts": prompts, "edges": ["correlation"], "load": False}
    workspace.ingest(base, name="base", **options)
    for name, scale in (("tuned", 0.3), ("silent", 0.0)):
        adapter = make_adapter(base, root / name, scale=scale)
        workspace.ingest(base, adapter=adapter, name=name, **options)
    workspace.ingest(make_model("gpt2", root / "gpt2"), name="other", **options)
    return root


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Workspace:
    return Workspace(shutil.copytree(made / "workspace", tmp_path / "workspace"))


@pytest.fixture(scope="module")
def once(made: Path) -> Path:
    """A workspace in which the base and its variant were patched into each other."""
    folder = Path(shutil.copytree(made / "workspace", made / "patched"))
    Workspace(folder).patch("tuned", "base")
    return folder


@pytest.fixture
def patched(once: Path, tmp_path: Path) -> Workspace:
    return Workspace(shutil.copytree(once, tmp_path / "patched"))


def kept_in(workspace: Workspace) -> str:
    """The id of the only patch that is kept."""
    [file] = workspace.transfers_folder.glob("*.json")
    return file.stem


def test_both_directions_in_tables_and_in_the_graph(workspace: Workspace) -> None:
    found = workspace.patch("tuned", "base")
    table = found.components
    assert tuple(table.columns) == COLUMNS["components"]
    assert len(table) == 2 * 16
    assert table["variant"].unique().tolist() == ["base", "tuned"]
    assert table["source_variant"].unique().tolist() == ["tuned", "base"]
    assert table["effect"].abs().max() > 0.01
    assert found.edges.empty
    ways = [rows.set_index("component") for _, rows in table.groupby("variant", sort=False)]
    apart = ways[0]["effect"] - ways[1]["effect"]
    assert np.allclose(ways[0]["asymmetry"], apart, atol=1e-4)
    assert np.allclose(ways[0]["asymmetry"], -ways[1]["asymmetry"])
    assert (ways[0]["asymmetry_q"] >= ways[0]["asymmetry_p"]).all()
    counts = found.summary["into"]
    assert counts["interventions"] <= counts["tried"] == 2 * 16 * counts["n"]
    rows = workspace.query("transfers", limit=100)
    key = ["variant", "source_variant", "component"]
    told, ours = (
        frame.sort_values(key)[[*key, "effect", "flips", "n"]].values.tolist()
        for frame in (rows, table)
    )
    assert told == ours
    asked = "MATCH ()-[e:TRANSFERS]->(t) RETURN DISTINCT t.name AS name, e.run AS run"
    ends = workspace.cypher(asked)
    assert set(ends["name"]) == {"LOGITS"}
    assert set(ends["run"]) == set(found.runs)


def test_the_same_patch_twice_either_way_round_is_one(patched: Workspace) -> None:
    first = kept_in(patched)
    graph = patched.open_store().read_all()
    again = patched.patch("base", "tuned")
    assert again.id == first == kept_in(patched)
    assert same(graph, patched.open_store().read_all())


def test_the_same_question_again_is_what_is_kept(
    patched: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = patched.patch("tuned", "base")
    monkeypatch.setattr(patching, "cross_patch", lambda *_: pytest.fail("measured again"))
    again = Workspace(patched.path).patch("tuned", "base")
    pd.testing.assert_frame_equal(again.components, first.components)
    kept = ("id", "name", "runs", "variants", "architecture", "summary", "created")
    assert [getattr(again, k) for k in kept] == [getattr(first, k) for k in kept]
    assert again.edges.empty
    (patched.path / "graph.lbug").unlink()  # a graph that lacks it gets it
    patched.patch("tuned", "base")
    asked = "MATCH ()-[e:TRANSFERS]->() RETURN count(e) AS n"
    assert EmbeddedStore(patched.path / "graph.lbug").query(asked)["n"][0] == 2 * 16
    for words in (("base", "tuned"), ("tuned", "base", "sets")):
        with pytest.raises(pytest.fail.Exception, match="measured again"):
            patched.patch(*words[:2], parts=words[2:] or ("components",))


def killed_at_a_table(file: Path, written: object) -> None:
    put(file, written)
    if file.suffix == ".parquet":
        raise KeyboardInterrupt


def test_half_a_patch_answers_no_earlier_question(
    patched: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch, folder = patched.patch("tuned", "base"), patched.transfers_folder
    first, second = (read_run(patched.runs_folder / run) for run in patch.runs)
    asked = Options(("components",)).checked(4)
    assert kept_patch(folder, first, second, asked) is not None
    monkeypatch.setattr(kept, "put", killed_at_a_table)
    other = replace(patch, components=patch.components.head(3))
    with pytest.raises(KeyboardInterrupt):
        keep(other, folder, replace(asked, share=0.5))
    assert kept_patch(folder, first, second, asked) is None
    monkeypatch.undo()  # and no rows leave none of an earlier patch behind
    keep(replace(patch, components=patch.components.head(0)), folder, asked)
    assert kept_patch(folder, first, second, asked).components.empty


def test_a_lost_graph_gets_its_transfers_back(patched: Workspace) -> None:
    before = patched.query("transfers", limit=100)
    assert len(before) == 2 * 16
    (patched.path / "graph.lbug").unlink()
    pd.testing.assert_frame_equal(patched.query("transfers", limit=100), before)


@pytest.mark.parametrize("name", ["base", "tuned"])
def test_remove_takes_transfers_of_either_side(patched: Workspace, name: str) -> None:
    workspace = patched
    kept = workspace.patch("silent", {"base": "tuned", "tuned": "base"}[name])
    workspace.remove(name)
    rows = workspace.query("transfers", limit=1000)
    assert name not in {*rows["variant"], *rows["source_variant"]}
    assert len(rows) == 2 * 16
    assert [f.stem for f in workspace.transfers_folder.glob("*.json")] == [kept.id]


def test_a_variant_that_changes_nothing_transfers_nothing(workspace: Workspace) -> None:
    found = workspace.patch("silent", "base", parts=["components", "edges", "sets", "routes"])
    for table in (found.components, found.edges, found.routes):
        assert (table["raw"] == 0).all()
        assert (table["flips"] == 0).all()
        assert table["share"].isna().all()
    assert found.sets.empty
    assert found.summary["into"]["gap"] == 0


def test_edges_sets_and_routes(workspace: Workspace) -> None:
    found = workspace.patch("tuned", "base", parts=["components", "edges", "sets", "routes"])
    for part, columns in COLUMNS.items():
        assert tuple(getattr(found, part).columns) == columns
    nodes = found.components.set_index(["variant", "component"])["effect"]
    edges = found.edges.set_index(["variant", "source", "target"])["effect"]
    assert len(edges) == 2 * 118
    for variant in ("base", "tuned"):  # nothing but LOGITS reads the last MLP
        node = nodes[variant, "L2_MLP"]
        assert edges[variant, "L2_MLP", "LOGITS"] == pytest.approx(node, rel=1e-4)
    first = found.sets[found.sets["step"] == 1].set_index("variant")
    strongest = found.components.groupby("variant")["share"].max()
    assert first["share"].to_dict() == pytest.approx(strongest.to_dict())
    routes = found.routes.set_index(["variant", "route", "last_layer"])
    for variant, way in (("base", "into"), ("tuned", "back")):  # one norm, one unembedding
        whole = routes.loc[(variant, "residual", 2)]
        assert whole["share"] == pytest.approx(1, abs=1e-3)
        assert whole["flips"] == whole["flips_to_source"] == found.summary[way]["disagree"]
    assert len(routes) == 2 * 3 * 3
    some = workspace.patch("tuned", "base", parts=["routes"], layers=(1, 1)).routes
    assert some["first_layer"].tolist() == some["last_layer"].tolist() == [1] * 6


def test_variants_that_do_not_fit_are_refused(workspace: Workspace, made: Path) -> None:
    with pytest.raises(UsageError, match="gpt2 of 3 layers with 4 heads and llama"):
        workspace.patch("other", "base")
    with pytest.raises(UsageError, match="'base' cannot be patched with itself"):
        workspace.patch("base", "base")
    with pytest.raises(UsageError, match="no variant 'nope'"):
        workspace.patch("nope", "base")
    assert not workspace.transfers_folder.exists()


def test_other_tokenizers_and_missing_answers_are_refused(made: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    silent = prompt_file(tmp_path / "silent.jsonl", answers=False)
    options = {"edges": ["correlation"], "load": False}
    workspace.ingest(made / "llama", name="base", prompts=silent, **options)
    adapter = {"adapter": made / "tuned"}
    workspace.ingest(made / "llama", name="tuned", prompts=silent, **adapter, **options)
    with pytest.raises(UsageError, match="have no answers"):
        workspace.patch("tuned", "base")
    copy = Path(shutil.copytree(made / "llama", tmp_path / "copy"))
    tokenizer = (copy / "tokenizer.json").read_text("utf-8")
    (copy / "tokenizer.json").write_text(tokenizer.replace('"w63"', '"v63"'), "utf-8")
    workspace.ingest(copy, name="retokenized", prompts=silent, **options)
    with pytest.raises(UsageError, match="their tokenizers differ"):
        workspace.patch("retokenized", "base")


def test_a_damaged_patch_says_what_to_do(patched: Workspace) -> None:
    (patched.transfers_folder / f"{kept_in(patched)}.json").write_text("{", "ascii")
    with pytest.raises(InputError, match="remove the file and patch again"):
        patched.query("transfers")


def test_the_command(workspace: Workspace, tmp_path: Path) -> None:
    there = ("patch", "tuned", "base", "-w", workspace.path)
    shown = done(*there)
    assert "tuned into base\n" in shown.out
    assert "base into tuned\n" in shown.out
    assert len([line for line in shown.err.splitlines() if "decisions are" in line]) == 2
    assert tuple(rows(*there)[0]) == COLUMNS["components"]
    for part in ("edges", "sets", "routes"):
        told = done(*there, f"--{part}", "--format", "csv").out.splitlines()
        assert tuple(told[0].split(",")) == COLUMNS[part]
        assert len(told) > 1
    done(*there, "--sets", "--share", "0.1", "--by", "flips", "-o", tmp_path / "s.parquet")
    assert pd.read_parquet(tmp_path / "s.parquet")["enough"].eq(0.1).all()
    for words, told in (
        (("--share", "1.5"), "--share 1.5"),
        (("--routes", "--layers", "1:3"), "the layers are 0:2"),
        (("--routes", "--layers", "one"), "FIRST:LAST"),
    ):
        answer = cli(*there, *words)
        assert answer.code == 2
        assert told in answer.complaint


def planted_transfers() -> list:
    """What each planted variant's components do in the other's effect run."""
    base, tuned = (planted.planted_runs()[i][0] for i in (1, 3))
    parts = []
    for into, source, sign in ((tuned, base, 1.0), (base, tuned, -1.0)):
        table = pd.DataFrame({"component": ["EMBED", "L0H0"], "effect": [0.5, sign]})
        table = table.assign(flips=[0, 3], n=4)
        table = table.assign(variant=into.variant.name, source_variant=source.variant.name)
        parts.append(transfer_tables("arch", into.id, source.id, table))
    return parts


@pytest.mark.some(1)
def test_transfers_in_every_store(any_store: Store, tmp_path: Path) -> None:
    parts = planted_transfers()
    with pytest.raises(UsageError, match="run .* is not in the graph"):
        any_store.write_all(parts)
    any_store.write_all(planted.planted())
    any_store.write_all(parts[:1])
    any_store.write_all(parts, replace=False)
    whole = any_store.read_all()
    any_store.write_all(parts)
    assert same(any_store.read_all(), whole)
    assert len(whole.rels["TRANSFERS"]) == 4
    assert len(any_store.transfers()) == 2
    shown = run_query(any_store, "transfers", {"variant": "tuned"})
    assert shown[["source_variant", "component", "effect", "flips", "n"]].values.tolist() == [
        ["base", "L0H0", 1.0, 3.0, 4],
        ["base", "EMBED", 0.5, 0.0, 4],
    ]
    assert len(run_query(any_store, "transfers", {"component": "L0H0"})) == 2
    copy = EmbeddedStore(tmp_path / "graph.lbug")
    assert copy_graph(any_store, copy).transfers == 2
    assert same(copy.read_all(), whole)
    any_store.remove_variant("tuned")
    assert any_store.read_all().rels["TRANSFERS"].empty
    any_store.remove_variant("base")


@pytest.mark.thorough
def test_transfers_follow_runs_that_were_copied_before(any_store: Store, tmp_path: Path) -> None:
    source = EmbeddedStore(tmp_path / "graph.lbug")
    source.write_all(planted.planted())
    copy_graph(source, any_store)
    source.write_all(planted_transfers())
    copied = copy_graph(source, any_store)
    assert (copied.runs, copied.diffs, copied.transfers, copied.edges) == (0, 0, 2, 4)
    assert same(any_store.read_all(), source.read_all())
    again = copy_graph(source, any_store)
    assert (again.transfers, again.edges, again.there) == (0, 0, 7)
    for name in ("base", "tuned"):
        any_store.remove_variant(name)
