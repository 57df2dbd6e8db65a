"""Activation tables: every format gives the same run, names stay as they are."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitgraph.base.errors import UsageError
from circuitgraph.ingest.tables.files import table_run
from circuitgraph.ingest.tables.table import ActivationTable, read_table
from circuitgraph.runs.record import Run, read_run, write_run

PUBLISHED = Path(__file__).resolve().parents[2] / "shared" / "data" / "llm_morality"

WIDE = """prompt_id,scenario,L1_MLP,L0H10,L0H2
b,s,1,2,3
a,t,4.5,-5e-1,6
"""
LONG = """value,component,scenario,prompt_id,note
1,L1_MLP,s,b,
2,L0H10,s,b,
4.5,L1_MLP,t,a,x
-5e-1,L0H10,t,a,"y
z"
6,L0H2,t,a,
3,L0H2,s,b,
"""


def as_json(rows: list[tuple[str, int, dict[str, float]]]) -> str:
    return json.dumps(
        [
            {"model_id": "m", "scenario": s, "variant": v, "component_activations": values}
            for s, v, values in rows
        ]
    )


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def every_format(folder: Path) -> list[Path]:
    wide, long = written(folder / "w.csv", WIDE), written(folder / "l.csv", LONG)
    for source in (wide, long):
        pd.read_csv(source).to_parquet(source.with_suffix(".parquet"))
    return [*folder.glob("*.csv"), *folder.glob("*.parquet")]


def test_every_format_is_the_same_run(tmp_path: Path) -> None:
    paths = every_format(tmp_path)
    assert len(paths) == 4
    runs = [table_run(read_table(path), "n", "r") for path in paths]
    assert len({run.id for run in runs}) == 1
    for run in runs:
        assert [(p.id, p.scenario) for p in run.prompts] == [("a", "t"), ("b", "s")]
        assert run.components == ("L0H2", "L0H10", "L1_MLP")
        assert run.activity.tolist() == [[6, -0.5, 4.5], [3, 2, 1]]
        assert run.activity.dtype == np.float32


def test_the_table_is_as_the_file_has_it(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "w.csv", WIDE))
    assert table.prompt_ids == ("b", "a")
    assert table.scenarios == ("s", "t")
    assert table.components == ("L1_MLP", "L0H10", "L0H2")
    assert table.values.tolist() == [[1, 2, 3], [4.5, -0.5, 6]]
    assert table.source == str(tmp_path / "w.csv")


def test_what_a_run_of_a_table_says_of_itself(tmp_path: Path) -> None:
    run = table_run(read_table(written(tmp_path / "w.csv", WIDE)), "n", "r")
    assert (run.variant.name, run.variant.recipe) == ("n", "r")
    assert (run.variant.architecture, run.variant.model_type) == ("table", "table")
    assert (run.kind, run.method.granularity, run.method.activity) == (
        "correlation", "table", "table")  # fmt: skip
    assert (run.n, run.n_scenarios, run.edges) == (2, 2, ())
    assert run.self_check == {"source": str(tmp_path / "w.csv")}
    again = write_run(run, tmp_path / "runs")
    assert again == read_run(again.path)  # type: ignore[arg-type]
    assert np.array_equal(again.activity, run.activity)


def test_ids_follow_the_numbers_and_the_name() -> None:
    table = small()
    run = table_run(table, "n")
    other = table_run(small(values=[[1, 2], [3, 5]]), "n")
    assert other.id != run.id
    assert other.variant.fingerprint != run.variant.fingerprint
    assert other.prompts_fingerprint == run.prompts_fingerprint
    assert table_run(table, "m").id != run.id
    moved = table_run(small(scenarios=("s", "t")), "n")
    assert moved.prompts_fingerprint != run.prompts_fingerprint
    renamed = table_run(small(components=("x", "z")), "n")
    assert renamed.variant.fingerprint != run.variant.fingerprint
    assert table_run(small(values=[[0.0, 2], [3, 4]]), "n").id == (
        table_run(small(values=[[-0.0, 2], [3, 4]]), "n").id
    )


def small(
    prompts: tuple[str, ...] = ("a", "b"),
    scenarios: tuple[str, ...] = ("s", "s"),
    components: tuple[str, ...] = ("x", "y"),
    values: list[list[float]] | None = None,
) -> ActivationTable:
    return ActivationTable(
        prompts, scenarios, components, np.array(values or [[1, 2], [3, 4]], float), "memory"
    )


@pytest.mark.parametrize("name", ["", "\ud800"])
def test_names_no_variant_can_have(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        table_run(small(), name)


def test_json_of_the_published_kind(tmp_path: Path) -> None:
    text = as_json(
        [("s", 0, {"B": 1, "A": 2.5}), ("s", 1, {"A": 3, "B": 4}), ("t", 0, {"B": 5, "A": 6})]
    )
    table = read_table(written(tmp_path / "t.json", text))
    assert table.prompt_ids == ("s_v0", "s_v1", "t_v0")
    assert table.scenarios == ("s", "s", "t")
    assert table.components == ("B", "A")
    assert table.values.tolist() == [[1, 2.5], [4, 3], [5, 6]]


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published tables are not at hand")
@pytest.mark.parametrize("model", ["De", "Ut"])
def test_published_tables_keep_their_half_precision_values(model: str) -> None:
    table = read_table(PUBLISHED / f"component_activations_PT3_CORE{model}.json")
    run = table_run(table, model)
    assert run.activity.shape == (15, 52)
    assert run.n_scenarios == 5
    assert len({row.tobytes() for row in run.activity}) == 10
    assert run.components[:3] == ("L0_ATTN", "L0_MLP", "L1_ATTN")
    assert np.array_equal(run.activity, run.activity.astype(np.float16))
    assert np.array_equal(run.activity.astype(float), table.canonical().values)


HOSTILE = [
    *("NA", "nan", "null", "None", "1", "1.0", "prompt", "ß", "ſ", " ", "=1+1"),
    *("'", '"', "`", "a,b", "x\ny", "\r", "\\", "\x00", "\u202e", "L0_MLP\n"),
    *("}) DETACH DELETE n //", "x" * 65_000),
]


@pytest.mark.parametrize("form", ["wide.csv", "long.csv", "wide.parquet", "long.parquet", "x.json"])
def test_hostile_names_stay_verbatim(tmp_path: Path, form: str) -> None:
    path = tmp_path / form
    values = np.arange(len(HOSTILE) ** 2, dtype=float).reshape(len(HOSTILE), -1)
    write_form(path, HOSTILE, HOSTILE, HOSTILE, values)
    run = table_run(read_table(path), "n")
    ids = [f"{name}_v{name}" for name in HOSTILE] if form == "x.json" else HOSTILE
    assert sorted(p.id for p in run.prompts) == sorted(ids)
    assert {p.scenario for p in run.prompts} == set(HOSTILE)
    assert set(run.components) == set(HOSTILE)
    row = [p.scenario for p in run.prompts].index("NA")
    assert run.activity[row, run.components.index("nan")] == 1
    again = write_run(run, tmp_path / "runs")
    assert (again.prompts, again.components) == (run.prompts, run.components)


def write_form(
    path: Path, prompts: list[str], scenarios: list[str], components: list[str], values: np.ndarray
) -> None:
    keys = list(zip(prompts, scenarios, strict=True))
    if path.suffix == ".json":
        rows = [
            {
                "scenario": s,
                "variant": p,
                "component_activations": dict(zip(components, row, strict=True)),
            }
            for (p, s), row in zip(keys, values.tolist(), strict=True)
        ]
        path.write_text(json.dumps(rows))
        return
    if path.stem == "wide":
        header = ["prompt_id", "scenario", *components]
        rows = [[*key, *row] for key, row in zip(keys, values.tolist(), strict=True)]
    else:
        header = ["prompt_id", "scenario", "component", "value"]
        rows = [
            [*key, name, value]
            for key, row in zip(keys, values.tolist(), strict=True)
            for name, value in zip(components, row, strict=True)
        ]
    if path.suffix == ".csv":
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    else:
        pq.write_table(pa.table([list(c) for c in zip(*rows, strict=True)], names=header), path)


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3)
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def tables(draw: st.DrawFn) -> ActivationTable:
    prompts = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    components = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    components = [c for c in components if c not in ("value", "component")] or ["x"]
    size = len(prompts) * len(components)
    values = draw(st.lists(numbers, min_size=size, max_size=size))
    scenarios = draw(st.lists(names, min_size=len(prompts), max_size=len(prompts)))
    matrix = np.array(values).reshape(len(prompts), len(components))
    return ActivationTable(tuple(prompts), tuple(scenarios), tuple(components), matrix, "memory")


@given(tables(), st.randoms(use_true_random=False))
def test_no_order_changes_a_run(table: ActivationTable, random) -> None:
    rows = random.sample(range(len(table.prompt_ids)), len(table.prompt_ids))
    columns = random.sample(range(len(table.components)), len(table.components))
    shuffled = ActivationTable(
        tuple(table.prompt_ids[i] for i in rows),
        tuple(table.scenarios[i] for i in rows),
        tuple(table.components[i] for i in columns),
        table.values[np.ix_(rows, columns)],
        "elsewhere",
    )
    same(table_run(table, "n"), table_run(shuffled, "n"))


def same(one: Run, other: Run) -> None:
    assert one.id == other.id
    assert (one.prompts, one.components) == (other.prompts, other.components)
    assert np.array_equal(one.activity, other.activity)


@given(tables(), st.sampled_from(["wide.csv", "long.csv", "wide.parquet", "long.parquet"]))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, table: ActivationTable, form: str
) -> None:
    path = tmp_path_factory.mktemp("table") / form
    write_form(
        path, list(table.prompt_ids), list(table.scenarios), list(table.components), table.values
    )
    same(table_run(table, "n"), table_run(read_table(path), "n"))


def test_parquet_types(tmp_path: Path) -> None:
    """Numbers of any type, categories with unused members, whole numbers as ids, an index."""
    frame = pd.DataFrame(
        {
            "prompt_id": [1, 2],
            "scenario": pd.Categorical(["s", "t"], categories=["unused", "t", "s"]),
            "f2": np.array([0.5, 1], np.float16),
            "i8": np.array([1, -1], np.int64),
            "u1": np.array([7, 8], np.uint8),
            "a.b": [1.5, 2.5],
        },
        index=["x", "y"],
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.prompt_ids == ("1", "2")
    assert table.scenarios == ("s", "t")
    assert table.components == ("f2", "i8", "u1", "a.b")
    assert table.values.tolist() == [[0.5, 1, 7, 1.5], [1, -1, 8, 2.5]]
    frame.assign(prompt_id=["1", "2"]).set_index("prompt_id").to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").prompt_ids == ("1", "2")


def test_a_long_name_repeated_is_held_once(tmp_path: Path) -> None:
    components = pa.array([f"{i}" + "x" * 65_000 for i in range(5)])
    n = 20_000  # 100,000 rows: 6 GB, were the names spelled out
    table = pa.table(
        {
            "prompt_id": pa.array([f"p{i // 5}" for i in range(5 * n)]),
            "scenario": pa.array(["s"] * (5 * n)),
            "component": pa.DictionaryArray.from_arrays(np.tile(np.arange(5), n), components),
            "value": np.arange(5 * n, dtype=float),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet", dictionary_pagesize_limit=1 << 24)
    assert read_table(tmp_path / "t.parquet").values.shape == (n, 5)
    assert pa.default_memory_pool().max_memory() < 500 << 20
