"""Blocks of claims as circuits, on real models: the numbers, the words, the refusals."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from shell import IPD, cli, done, rows

from circuitgraph import Workspace
from circuitgraph.base.components import Edge
from circuitgraph.interventions.patching import BlockTests
from circuitgraph.interventions.patching.blocks import COLUMNS, depends
from circuitgraph.interventions.patching.record import Gap
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.record import Run

PER_SCENARIO = 5
Lines = list[dict[str, Any]]


def prompt_lines(count: int) -> Lines:
    """The first prompts of every scenario."""
    kept: dict[str, Lines] = {}
    for text in (IPD / "prompts.jsonl").read_text("utf-8").splitlines():
        line = json.loads(text)
        kept.setdefault(line["scenario"], []).append(line)
    return [line for group in kept.values() for line in group[:count]]


def written(lines: Lines, path: Path) -> Path:
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", "utf-8")
    return path


def ingested(folder: Path, lines: Lines, **options: Any) -> Path:
    """A workspace of base and hybrid on these prompts, effects only."""
    file = written(lines, folder / "prompts.jsonl")
    for name, adapter in (("base", None), ("hybrid", IPD / "variants" / "hybrid")):
        Workspace(folder / "w").ingest(
            IPD / "base",
            name=name,
            adapter=adapter,
            prompts=file,
            edges=["effect"],
            load=False,
            **options,
        )
    return folder / "w"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ingested(tmp_path_factory.mktemp("blocks"), prompt_lines(PER_SCENARIO))


@pytest.fixture(scope="module")
def result(pair: Path) -> BlockTests:
    return Workspace(pair).blocks("base", "hybrid")


def runs_of(workspace: Path) -> list[Run]:
    catalogue: RunCatalogue = Workspace(workspace).catalogue()
    return [catalogue.of(name, "effect")[-1] for name in ("base", "hybrid")]


def singles(found: BlockTests) -> dict[int, Edge]:
    """The blocks of one edge, and that edge."""
    table, numbers = found.diff.table, found.diff.extras["block"]
    edges = {}
    for number, members in numbers.groupby(numbers).groups.items():
        if len(members) == 1:
            edges[number] = Edge(*table.loc[members[0], ["source", "target", "input"]])
    assert edges
    return edges


def balanced(values: np.ndarray, scenarios: np.ndarray) -> float:
    return float(np.mean([values[scenarios == s].mean() for s in set(scenarios.tolist())]))


def size_of(run: Run) -> float:
    return float(np.linalg.norm(run.effects.astype(float), axis=1).mean())


def test_a_block_stands_for_its_claims(result: BlockTests) -> None:
    table, diff = result.table, result.diff
    assert tuple(table.columns) == COLUMNS
    blocks = diff.extras["block"]
    assert table["block"].tolist() == sorted(set(blocks))
    assert table["edges"].sum() == len(diff.claims) == result.summary["claims"]
    for _, row in table.iterrows():
        own = diff.table.loc[blocks.index[blocks == row["block"]]]
        assert row["members"].split(", ") == [
            f"{source}→{target}"
            for source, target in zip(own["source"], own["target"], strict=True)
        ]
        assert row["sum_a"] == pytest.approx(own["weight_a"].sum())
        assert row["sum_b"] == pytest.approx(own["weight_b"].sum())
        counts = dict(reversed(part.split()) for part in row["claims"].split(", "))
        assert {k: int(v) for k, v in counts.items()} == own["verdict"].astype(
            str
        ).value_counts().to_dict()


def test_a_block_of_one_edge_is_that_edge(result: BlockTests) -> None:
    known = result.diff.table.set_index(["source", "target", "input"])
    for number, edge in singles(result).items():
        row, single = result.table.loc[number], known.loc[tuple(edge)]
        for name, other in (
            *(("set_a", "weight_a"), ("set_b", "weight_b"), ("change", "delta")),
            *(("low", "low"), ("high", "high")),
        ):
            assert row[name] == pytest.approx(single[other], abs=1e-5)
        assert row["verdict"] == "confirmed"


def test_a_chain_counts_once_and_carries_the_behaviour(result: BlockTests) -> None:
    """The circuit behind the game is known: EMBED → L0H2 → L1H0 → L3_MLP → LOGITS."""
    row = result.table.loc[result.table["change"].abs().idxmax()]
    chain = {"EMBED→L0H2", "L0H2→L1H0", "L1H0→L3_MLP", "L3_MLP→LOGITS"}
    assert chain <= set(row["members"].split(", "))
    assert abs(row["change"]) < 0.5 * abs(row["sum_b"] - row["sum_a"])
    assert row["moved_into_a"] > 0.3
    assert row["moved_into_a_flips"] > 0.9 * result.summary["disagree"]


@pytest.mark.thorough
def test_a_second_corruption_gives_the_effects_that_an_ingest_of_it_gives(
    pair: Path, result: BlockTests, tmp_path: Path
) -> None:
    again = ingested(tmp_path, prompt_lines(PER_SCENARIO), ablation="mean")
    require_second(result, runs_of(pair), runs_of(again), lambda run: given(run))


@pytest.mark.slow
def test_other_corrupt_texts_give_the_effects_that_an_ingest_of_them_gives(
    pair: Path, tmp_path: Path
) -> None:
    """The names of the actions change places; nothing says a direction."""
    lines = other_texts()
    again = ingested(tmp_path, lines)
    file = written(lines[::-1], tmp_path / "other.jsonl")
    found = Workspace(pair).blocks("base", "hybrid", corrupt=file)
    assert found.table["second"].unique().tolist() == ["corrupt"]

    def from_totals(run: Run) -> np.ndarray:
        totals = runs_of(again)[0].totals.astype(float)  # the base's
        return np.sign([totals[run.scenarios == s].sum() for s in run.scenarios])

    require_second(found, runs_of(pair), runs_of(again), from_totals)


def given(run: Run) -> np.ndarray:
    return np.array([prompt.direction for prompt in run.prompts], dtype=float)


def require_second(
    found: BlockTests, first: list[Run], second: list[Run], signs: Callable[[Run], np.ndarray]
) -> None:
    """Of blocks of one edge, against effects of the runs measured under that corruption."""
    for number, edge in singles(found).items():
        sides = []
        for run, known in zip(second, first, strict=True):
            raw = run.effects[:, run.edges.index(edge)].astype(float)
            sides.append(balanced(raw * signs(run), run.scenarios) / size_of(known))
        assert found.table.loc[number, "second_change"] == pytest.approx(
            sides[1] - sides[0], abs=1e-5
        )


def other_texts() -> Lines:
    other = {"action1": "action2", "action2": "action1"}
    lines = []
    for line in prompt_lines(PER_SCENARIO):
        text = re.sub(r"action\d", lambda m: other[m[0]], line["prompt"])
        lines.append({k: v for k, v in line.items() if k != "direction"} | {"corrupt": text})
    return lines


@pytest.mark.thorough
def test_a_moved_block_of_one_edge_is_that_edge_moved(pair: Path, result: BlockTests) -> None:
    from circuitgraph.interventions.patching.pair import load_pair

    base, hybrid = runs_of(pair)
    models = load_pair(base, hybrid)
    for into, name in enumerate("ab"):
        gap = Gap(models.decisions(into), models.decisions(1 - into), models.scenarios)
        changes = models.edge_changes(into)
        for number, edge in singles(result).items():
            [known] = gap.measured(changes[[base.edges.index(edge)]]).to_dict("records")
            row = result.table.loc[number]
            assert row[f"moved_into_{name}"] == pytest.approx(known["share"], abs=1e-5)
            assert row[f"moved_into_{name}_low"] == pytest.approx(known["low"] / gap.size, abs=1e-5)
            assert row[f"moved_into_{name}_flips"] == known["flips_to_source"]


def test_the_verdict_follows_from_a_paired_test_beyond_the_margin(result: BlockTests) -> None:
    table = result.table
    assert (table["low"] < table["change"]).all()
    assert (table["change"] < table["high"]).all()
    assert table["change"].to_numpy() == pytest.approx((table["set_b"] - table["set_a"]).to_numpy())
    assert ((table["q"] <= 0.05) == (table["verdict"] == "confirmed")).all()
    inside = table["change"].abs() <= result.diff.margin
    assert (table.loc[inside, "verdict"] == "not_confirmed").all()
    assert (table["p"] <= table["q"]).all()
    assert (table["n_effective"] == 4 * PER_SCENARIO + PER_SCENARIO - 5).all()


def test_corruptions_disagree_in_relevance_or_in_sign() -> None:
    first = pd.DataFrame({"change": [0.2, 0.2, 0.2, 0.2, 0.01], "q": [0.01, 0.01, 0.01, 0.9, 0.9]})
    second = pd.DataFrame({"change": [0.1, -0.1, 0.1, 0.3, -0.01], "q": [0.02, 0.02, 0.6, 0.0, 1]})
    assert depends(first, second, 0.05).tolist() == [False, True, True, True, False]
    second["q"] = np.nan
    assert depends(first, second, 0.05).tolist() == [True, True, True, False, False]


@pytest.mark.slow
def test_screened_claims_of_split_inputs_are_tested_exactly(tmp_path: Path) -> None:
    lines = prompt_lines(4)
    workspace = ingested(tmp_path, lines, estimator="receiver-exact", split_inputs=True)
    found = Workspace(workspace).blocks("base", "hybrid", second="zero")
    known = found.diff.table.set_index(["source", "target", "input"])
    for number, edge in singles(found).items():
        row, single = found.table.loc[number], known.loc[tuple(edge)]
        assert row["set_b"] == pytest.approx(single["weight_b"], abs=1e-5)
        letter = edge.input if edge.input in "qkv" else ""
        assert row["members"] == f"{edge.source}→{edge.target}" + (f".{letter}" if letter else "")
    assert found.table["members"].str.contains(r"L1KV\d\.[kv]|H\d\.q").any()
    assert set(found.table["second"]) == {"zero"}


def test_the_command_says_what_the_class_says_and_keeps_it(
    pair: Path, result: BlockTests, tmp_path: Path
) -> None:
    words = ("blocks", "base", "hybrid", "-w", pair)
    shown = done(*words)
    assert shown.out.split()[:3] == ["verdict", "block", "members"]  # at 80 columns
    assert f"{result.summary['claims']} claims in {len(result.table)} blocks" in shown.err
    assert "second: mean ablation" in shown.err
    assert "moved from hybrid into base: block " in shown.err
    done(*words, "-o", tmp_path / "b.csv")
    found = pd.read_csv(tmp_path / "b.csv")
    pd.testing.assert_frame_equal(found, result.table, check_dtype=False)
    kept = pair / "diffs" / f"{result.diff.id}.blocks.parquet"
    pd.testing.assert_frame_equal(pd.read_parquet(kept), result.table)


def test_a_page_shows_blocks_where_they_were_tested(
    pair: Path, result: BlockTests, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(pair, tmp_path / "copy"))
    words = ("report", "base", "hybrid", "-w", copy, "-q")
    done(*words, "-o", tmp_path / "with.html")
    kept = copy / "diffs" / f"{result.diff.id}.blocks.parquet"
    page = (tmp_path / "with.html").read_text("utf-8")
    assert "tested as circuits" in page
    for _, row in result.table.iterrows():
        assert f">{row['members']}</td>" in page  # whole: on a page nothing need be cut
        assert f"{row['change']:+.3f}</td><td>{row['q']:.1e}</td>" in page
        assert f"<td>{100 * row['moved_into_a']:.0f}%</td>" in page
    kept.write_bytes(b"no parquet")
    assert "remove the file and test again" in cli(*words, "-o", tmp_path / "x.html").complaint
    kept.unlink()
    done(*words, "-o", tmp_path / "without.html")
    assert "tested as circuits" not in (tmp_path / "without.html").read_text("utf-8")


def test_blocks_go_with_their_diff(pair: Path, result: BlockTests, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(pair, tmp_path / "copy"))
    assert (copy / "diffs" / f"{result.diff.id}.blocks.parquet").is_file()
    done("remove", "hybrid", "-w", copy, "-q")
    assert [path for path in (copy / "diffs").rglob("*") if path.is_file()] == []


def test_without_claims_there_is_nothing_to_test(pair: Path) -> None:
    answer = done("blocks", "base", "hybrid", "--margin", "5", "-w", pair)
    assert "no edge is claimed to differ, so there is no block to test" in answer.err
    assert answer.out == ""
    assert rows("blocks", "base", "hybrid", "--margin", "5", "-w", pair) == []


def test_too_little_evidence_ends_with_exit_code_3(tmp_path: Path) -> None:
    workspace = ingested(tmp_path, prompt_lines(1))
    answer = cli("blocks", "base", "hybrid", "-w", workspace)
    assert answer.code == 3
    assert "cannot tell" in answer.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("base", "nope"), "no variant 'nope'"),
        (("base", "base"), "'base' cannot be patched with itself"),
        (("base", "hybrid", "--second", "noise"), "'noise' is not one of"),
        (("base", "hybrid", "--second", "mean", "--corrupt", "{same}"), "give one of both"),
        (("base", "hybrid", "--corrupt", "{same}"), "measured with these corrupt texts"),
        (("base", "hybrid", "--corrupt", "{fewer}"), "1 of 25 prompts"),
        (("base", "hybrid", "--corrupt", "{plain}"), "no column corrupt"),
        (("base", "hybrid", "--corrupt", "{twice}"), "line 2: the prompt of line 1"),
        (("base", "hybrid", "--corrupt", "{nowhere}"), "nowhere"),
        (("base", "hybrid", "--run", "zzz"), "A_ID:B_ID"),
    ],
)
def test_wrong_use_is_told_before_a_model_is_loaded(
    pair: Path,
    words: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("circuitgraph.models.stored.reload", None)
    lines = prompt_lines(PER_SCENARIO)
    twin = lines[0] | {"corrupt": lines[0]["prompt"].replace("many", "two"), "id": "twin"}
    plain = [
        {k: line[k] for k in ("prompt", "scenario", "answer", "wrong_answer")} for line in lines
    ]
    files = {"same": lines, "fewer": lines[1:], "plain": plain, "twice": [lines[0], twin]}
    paths = {name: written(some, tmp_path / f"{name}.jsonl") for name, some in files.items()}
    paths["nowhere"] = tmp_path / "nowhere.jsonl"
    answer = cli("blocks", *(word.format(**paths) for word in words), "-w", pair)
    assert answer.code in (1, 2)
    assert told in answer.complaint


def test_corrupt_texts_of_another_length_are_refused_before_any_measurement(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("circuitgraph.interventions.circuits.pair.make_patch", None)
    lines = other_texts()
    lines[3]["corrupt"] += " now"
    file = written(lines, tmp_path / "longer.jsonl")
    told = cli("blocks", "base", "hybrid", "--corrupt", file, "-w", pair).complaint
    words = [len(lines[3][name].split()) for name in ("prompt", "corrupt")]
    begin = words[0] + 1  # with the beginning-of-sequence token
    assert f"has {begin} tokens and its corrupt text {begin + 1} " in told
    assert "(1 of 25 pairs are unequal)" in told
    assert lines[3]["id"] in told


@pytest.mark.thorough
def test_the_ablation_of_the_runs_is_no_second_corruption(tmp_path: Path) -> None:
    workspace = ingested(tmp_path, prompt_lines(2), ablation="mean")
    answer = cli("blocks", "base", "hybrid", "--second", "mean", "-w", workspace)
    assert answer.code == 2
    assert "--second mean: the runs were measured so" in answer.complaint
    found = Workspace(workspace).blocks("base", "hybrid")
    assert set(found.table["second"]) == {"zero"}
