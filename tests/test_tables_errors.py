"""Every bad activation table is refused in one line that names the place."""

# ruff: noqa: E501  (a case a line reads best)

from __future__ import annotations

import contextlib
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from circuitgraph.base.errors import InputError
from circuitgraph.ingest.tables.table import read_table

WIDE = "prompt_id,scenario,x,y\n"
LONG = "prompt_id,scenario,component,value\n"

CSV = {
    "no scenario": ("prompt_id,x\na,1\n", "line 1: no column 'scenario'; .*prompt_id, x"),
    "no prompt_id": (LONG.replace("prompt_id", "p"), "line 1: no column 'prompt_id'"),
    "key twice": ("prompt_id,scenario,scenario,x\na,s,s,1\n", "line 1: more than one column 'scen"),
    "semicolons": ("prompt_id;scenario;x\na;s;1\n", "line 1: columns must be separated by commas"),
    "text": (WIDE + "a,s,1,2\nb,s,1,two\n", "line 3: component 'y': 'two' is not a number"),
    "thousands": (WIDE + "a,s,1,2_000\n", "line 2: component 'y': '2_000' is not a number"),
    "empty cell": (WIDE + "a,s,,2\n", "line 2: component 'x': the cell is empty"),
    "NaN": (WIDE + 'a,s,1,2\n"b\n",s,1,NaN\n', r"line 3: prompt 'b\\n', component 'y': nan is not"),
    "infinity": (WIDE + "a,s,-inf,2\n", "line 2: prompt 'a', component 'x': -inf is not a finite"),
    "too large": (WIDE + "a,s,1e39,2\n", "line 2: .*1e[+]39 is larger than float32 can hold"),
    "ragged": (WIDE + "a,s,1\n", "line 2: 3 cells under 4 column names"),
    "open quote": (WIDE + 'a,s,1,2\n"b,s,1,2\n', "line 3: not valid CSV"),
    "empty prompt": (WIDE + "a,s,1,2\n,s,1,2\n", "line 3: the prompt_id is empty"),
    "empty scenario": (WIDE + "a,,1,2\n", "line 2: the scenario is empty"),
    "empty component": (",prompt_id,scenario,x\n0,a,s,1\n", "component 1: the component is empty"),
    "prompt twice": (WIDE + "a,s,1,2\na,s,1,2\n", "line 3: the prompt_id 'a' stands already in line 2"),
    "component twice": (
        "prompt_id,scenario,x,y,x\na,s,1,2,3\n", "component 3: the component 'x' stands already in"),
    "only a header": (WIDE, "holds no values"),
    "no components": ("prompt_id,scenario\na,s\n", "holds no values"),
    "long, only a header": (LONG, "holds no values"),
    "long, text": (LONG + "a,s,x,1\na,s,y,one\n", "line 3: value: 'one' is not a number"),
    "long, NaN": (LONG + "a,s,x,1\na,s,y,nan\n", "line 3: prompt 'a', component 'y': nan is not a"),
    "long, cell twice": (
        LONG + "a,s,x,1\nb,s,x,1\na,s,y,1\nb,s,y,1\na,s,y,2\n",
        "line 6: the value of prompt 'a' and component 'y' stands already in line 4"),
    "long, cell missing": (
        LONG + "a,s,x,1\na,s,y,1\nb,s,x,1\n", "value of prompt 'b' and component 'y' is missing"),
    "long, two scenarios": (
        LONG + "a,s,x,1\na,t,y,1\n", "line 3: prompt 'a' is in two scenarios, 't' here and 's' in l"),
    "long, empty component": (LONG + "a,s,,1\n", "component 1: the component is empty"),
    "bad bytes": (WIDE.encode() + b"\xff,s,1,2\n", "line 2: byte 0xff is not UTF-8"),
    "too many components": (
        "prompt_id,scenario," + ",".join(f"c{i}" for i in range(10_001)) + "\na,s" + ",1" * 10_001,
        "10,001 components make 50,005,000 edges; keep at most 10,000"),
    "a long name": (
        f"prompt_id,scenario,{'x' * 65_000}\na,s,\n", "line 2: component 'xxx.*…: the cell is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", CSV)
def test_bad_csv(tmp_path: Path, name: str) -> None:
    text, message = CSV[name]
    check(tmp_path / "t.csv", text if isinstance(text, bytes) else text.encode(), message)


def record(**changes: Any) -> dict[str, Any]:
    good = {
        "model_id": "m",
        "scenario": "s",
        "variant": 1,
        "component_activations": {"x": 1, "y": 2},
    }
    return good | changes


def acts(**values: Any) -> dict[str, Any]:
    return record(component_activations=values)


FIRST = record(variant=0)
JSON = {
    "not JSON": ("[", "line 1: not valid JSON"),
    "not a list": ({"x": 1}, "not a list of objects"),
    "empty": ([], "holds no values"),
    "not an object": ([FIRST, 3], "record 2: not an object"),
    "no variant": ([FIRST, {"scenario": "s"}], "record 2: no 'variant'"),
    "no activations": ([FIRST, acts() | {"component_activations": [1]}], "record 2: 'component_act"),
    "two models": ([FIRST, record(model_id="n")], "record 2: two models in one file, 'm' and 'n'"),
    "prompt twice": ([FIRST, record(variant=0)], "record 2: the prompt_id 's_v0' stands already"),
    "component missing": ([FIRST, acts(x=1)], "record 2: no component 'y', which record 1 has"),
    "component added": ([FIRST, acts(x=1, y=1, z=1)], "record 1: no component 'z', which record 2"),
    "text": ([FIRST, acts(x=1, y="2")], "record 2: component 'y': '2' is not a number"),
    "null": ([FIRST, acts(x=1, y=None)], "record 2: component 'y': None is not a number"),
    "true": ([FIRST, acts(x=1, y=True)], "record 2: component 'y': True is not a number"),
    "nested": ([FIRST, acts(x=1, y=[1])], "record 2: component 'y': a list is not a number"),
    "huge": ([FIRST, acts(x=1, y=10**400)], "record 2: .*component 'y': inf is not a finite"),
    "endless": ('[{"scenario": "s",\n "variant": 1, "component_activations": {"x": 1e999}}]',
                "record 1: prompt 's_v1', component 'x': inf is not a finite number"),
    "NaN": ('[{"note": "NaN",\n "x": -Infinity}]', "line 2: -Infinity is not a number"),
    "scenario": ([record(scenario=1.5)], "record 1: 'scenario' is not text or a whole number: 1.5"),
    "empty scenario": ([record(scenario="")], "record 1: 'scenario' is empty"),
    "half a character": ([acts(**{"\udc00": 1})], r"component 1: the component '\\udc00' holds half"),
    "half a scenario": ([record(scenario="\udc00")], r"record 1: the prompt_id '\\udc00_v1' holds"),
    "component twice": ('[\n{"x": 1, "x": 2}]', "'x' stands twice in one object"),
    "deep": ("[" * 1_000_000, "nested too deeply"),
}  # fmt: skip


@pytest.mark.parametrize("name", JSON)
def test_bad_json(tmp_path: Path, name: str) -> None:
    content, message = JSON[name]
    text = content if isinstance(content, str) else json.dumps(content)
    check(tmp_path / "t.json", text.encode(), message)


KEYS = {"prompt_id": ["a", "b"], "scenario": ["s", "s"]}
PARQUET = {
    "no scenario": ({"prompt_id": ["a"], "x": [1.0]}, "no column 'scenario'; there are 'prompt_id, x"),
    "text": (KEYS | {"x": ["1", "2"]}, "column 'x' holds string, not numbers"),
    "booleans": (KEYS | {"x": [True, False]}, "column 'x' holds bool, not numbers"),
    "null": (KEYS | {"x": [1.0, None]}, "row 2: column 'x' is empty there"),
    "NaN": (KEYS | {"x": [1.0, 2.0], "y": [3.0, np.nan]}, "row 2: prompt 'b', component 'y': nan is"),
    "null id": ({"prompt_id": ["a", None], "scenario": ["s", "s"], "x": [1.0, 2.0]},
                "row 2: column 'prompt_id' is empty there"),
    "id of numbers": ({"prompt_id": [1.5, 2], "scenario": ["s", "s"], "x": [1.0, 2.0]},
                      "column 'prompt_id' holds double, not text"),
    "nested id": ({"prompt_id": [{"a": "b"}], "scenario": ["s"], "x": [1.0]}, "'prompt_id' holds stru"),
    "nested": (KEYS | {"x": [[1.0], [2.0]]}, "column 'x' holds list.*not numbers"),
    "prompt twice": ({"prompt_id": ["a", "a"], "scenario": ["s", "s"], "x": [1.0, 2.0]},
                     "row 2: the prompt_id 'a' stands already in row 1"),
    "long, cell twice": (KEYS | {"prompt_id": ["a", "a"], "component": ["x", "x"], "value": [1, 2]},
                         "row 2: the value of prompt 'a' and component 'x' stands already in row 1"),
    "empty": ({"prompt_id": pa.array([], pa.string()), "scenario": pa.array([], pa.string()),
               "x": pa.array([], pa.float64())}, "holds no values"),
}  # fmt: skip


@pytest.mark.parametrize("name", PARQUET)
def test_bad_parquet(tmp_path: Path, name: str) -> None:
    columns, message = PARQUET[name]
    check(tmp_path / "t.parquet", parquet(pa.table(columns)), message)


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def test_columns_of_one_name_in_parquet(tmp_path: Path) -> None:
    a, s, x = pa.array(["a"]), pa.array(["s"]), pa.array([1.0])
    table = pa.table([a, s, s, x], names=["prompt_id", "scenario", "scenario", "x"])
    check(tmp_path / "t.parquet", parquet(table), "more than one column 'scenario'")
    table = pa.table([a, s, x, x], names=["prompt_id", "scenario", "x", "x"])
    check(tmp_path / "t.parquet", parquet(table), "the component 'x' stands already in component 1")


def test_a_small_file_of_absurd_size(tmp_path: Path) -> None:
    rows = 20_000_001
    zeros = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), pa.array(["a"]))
    data = parquet(pa.table({"prompt_id": zeros, "scenario": zeros, "x": np.zeros(rows, np.int8)}))
    assert len(data) < 200_000
    check(tmp_path / "t.parquet", data, "20,000,001 × 1 values are too many")


def test_files_that_are_something_else(tmp_path: Path) -> None:
    for suffix in (".csv", ".parquet", ".json"):
        path = tmp_path / f"t{suffix}"
        check(path, pickle.dumps({"x": 1}), "this is a pickle; .*never from pickle or npz")
        with io.BytesIO() as file:
            np.savez_compressed(file, x=np.zeros(10**6))
            check(path, file.getvalue(), "this is a zip archive.*never from pickle or npz")
        check(path, b"", "the file is empty")
    check(tmp_path / "t.npz", b"PK\x03\x04", "this is a zip archive")
    check(tmp_path / "t.pkl", b"(lp0\n.", "extension '.pkl' is not known.*never from pickle")
    check(tmp_path / "t.parquet", b"prompt_id,scenario,x\na,s,1\n", "cannot be read as parquet")
    check(tmp_path / "t.csv", parquet(pa.table({"x": [1]})), "this is a parquet file")


def test_json_beyond_all_measure(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    with open(path, "wb") as file:
        file.write(b"[")
        file.truncate(65 << 20)
    with pytest.raises(InputError, match="65 MiB of JSON are too many"):
        read_table(path)


def test_every_truncation_and_many_flipped_bytes_are_read_or_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({**KEYS, "x": [1.5, 2.5], "y": [3.5, 4.5]})
    rng = np.random.default_rng(0)
    for suffix, whole in (
        (".csv", frame.to_csv(index=False).encode()),
        (".parquet", parquet(pa.Table.from_pandas(frame))),
        (".json", json.dumps([FIRST, record()]).encode()),
    ):
        path = tmp_path / f"t{suffix}"
        cuts = range(0, len(whole), max(1, len(whole) // 200))
        flips = [bytearray(whole) for _ in range(200)]
        for data in flips:
            data[rng.integers(4, len(data))] = rng.integers(256)
        for data in (*(whole[:end] for end in cuts), *flips):
            path.write_bytes(data)
            with contextlib.suppress(InputError):
                assert np.isfinite(read_table(path).values).all()


def check(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        read_table(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert len(text) < len(str(path)) + 300
