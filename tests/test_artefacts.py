"""Files beside runs and diffs: whole or not there, read with a way out, found by their runs."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from circuitgraph.base.atomic import whole
from circuitgraph.base.errors import InputError
from circuitgraph.runs.artefacts import get, keep_by_edge, put, read_by_edge, resting_on

TABLE = pd.DataFrame({"source": ["a", "b"], "weight": [0.5, np.nan]})


def same(value: object) -> object:
    return value


def test_what_is_put_is_what_is_got(tmp_path: Path) -> None:
    put(tmp_path / "a.json", {"names": ["é"], "n": 3})
    put(tmp_path / "a.parquet", TABLE)
    put(tmp_path / "a.safetensors", {"x": np.arange(6.0).reshape(2, 3).T})
    assert get(tmp_path / "a.json", same, "diff again") == {"names": ["é"], "n": 3}
    pd.testing.assert_frame_equal(get(tmp_path / "a.parquet", pd.DataFrame, "diff again"), TABLE)
    arrays = get(tmp_path / "a.safetensors", dict, "diff again")
    np.testing.assert_array_equal(arrays["x"], np.arange(6.0).reshape(2, 3).T)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.parquet", "a.safetensors"]


@pytest.mark.parametrize("name", ["x.json", "x.parquet", "x.safetensors"])
def test_damaged_files_are_named_with_the_way_out(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    assert get(file, same, "diff again") is None
    file.write_bytes(b"{")
    with pytest.raises(InputError, match=rf"{name}: cannot be read .*remove the file and diff"):
        get(file, same, "diff again")


def test_a_record_that_lacks_something_is_damaged(tmp_path: Path) -> None:
    put(tmp_path / "x.json", {"id": 1})
    with pytest.raises(InputError, match="KeyError: 'runs'.*patch again"):
        get(tmp_path / "x.json", lambda record: record["runs"], "patch again")


def test_what_rests_on_a_run_is_found_with_all_its_files(tmp_path: Path) -> None:
    for name, runs in (("one", ["r1", "r2"]), ("two", ["r3"])):
        put(tmp_path / f"{name}.json", {"runs": runs})
        put(tmp_path / f"{name}.parquet", TABLE)
        put(tmp_path / f"{name}.blocks.parquet", TABLE)
    found = resting_on({"r2", "r9"}, tmp_path, lambda record: record["runs"], "diff again")
    assert [file.name for file in found] == ["one.blocks.parquet", "one.parquet", "one.json"]


def test_arrays_of_single_edges_add_up(tmp_path: Path) -> None:
    file = tmp_path / "run" / "x.safetensors"
    file.parent.mkdir()
    first = {7: {"v": np.ones((2, 3), np.float32), "same": np.array([True, False])}}
    second = {2: {"v": np.zeros((2, 3), np.float32), "same": np.array([False, False])}}
    keep_by_edge(file, first)
    keep_by_edge(file, second)
    found = read_by_edge(file)
    assert sorted(found) == [2, 7]
    for edge, arrays in (first | second).items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[edge][name], array)
    keep_by_edge(None, first)
    assert read_by_edge(None) == {}


def half_written(path: Path) -> None:
    with whole(path) as partial:
        partial.write_text("ne")
        raise OSError(errno.ENOSPC, "something else")


def test_what_fails_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left") as caught:
        half_written(path)
    assert caught.value.filename == str(path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"
