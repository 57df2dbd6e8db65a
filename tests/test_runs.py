"""Runs on disk: whole or not there at all, and read back as written."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from measured import effect_run, table_run

from circuitgraph.base.atomic import write_atomic
from circuitgraph.base.components import EdgeSpec
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.commands.options import read_bytes
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.runs.record import Method, discard_run, list_runs, read_run, run_id, write_run

HOSTILE = "a\u2028\x1f\x85'\"`\\{}/../é" + "x" * 1000


@pytest.fixture
def run():
    made = effect_run(np.arange(8).reshape(4, 2) / 7, "aabb", HOSTILE)
    prompt = RunPrompt("id\n", "s\u2028", HOSTILE, "\x0b", " a", " b", -1, "t")
    return replace(made, prompts=(prompt, *made.prompts[1:]), self_check={"logits": 1e-7})


def test_a_run_is_read_back_as_it_was_written(run, tmp_path):
    written = write_run(run, tmp_path)
    again = read_run(tmp_path / run.id)
    assert replace(again, path=None) == replace(written, path=None) == run
    assert {k: v.dtype for k, v in again.arrays.items()} == dict.fromkeys(run.arrays, np.float32)
    assert all(np.array_equal(again.arrays[key], run.arrays[key]) for key in run.arrays)
    assert (again.n, again.n_scenarios, again.kind) == (4, 3, "effect")
    assert again.scenarios.tolist() == [0, 1, 2, 2]


def test_edges_that_runs_share_are_parsed_once_whatever_stands_around_them(run, tmp_path):
    lines = '\n "edges": [\n  [\n ],\n "self_check": {}'
    named = replace(run, id="ccdd", variant=replace(run.variant, name=lines, recipe=lines))
    first, second = (write_run(one, tmp_path) for one in (run, named))
    assert replace(second, path=None) == named
    assert first.edges is second.edges
    file = tmp_path / run.id / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text())))  # on one line
    assert replace(read_run(tmp_path / run.id), path=None) == run


def test_prompts_written_without_a_way_are_read(run, tmp_path):
    file = write_run(run, tmp_path).path / "prompts.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line.pop("way") for line in lines] == [1] * 4
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_run(tmp_path / run.id).prompts == run.prompts


def test_a_screen_is_read_with_its_sample(run, tmp_path):
    sample = np.ones((4, 1), np.float32)
    screened = replace(run, _arrays={**run.arrays, "exact_sample": sample})
    assert write_run(screened, tmp_path).arrays["exact_sample"].tolist() == sample.tolist()
    odd = replace(screened, id="odd", _arrays={**run.arrays, "exact_sample": sample[:3]})
    with pytest.raises(InputError, match="exact_sample is not float32"):
        _ = write_run(odd, tmp_path).arrays


def test_nothing_but_whole_runs_is_listed_and_no_name_becomes_a_path(run, tmp_path):
    write_run(run, tmp_path)
    (tmp_path / f".{run.id}.77.partial").mkdir()
    (tmp_path / ".x.lock").touch()
    assert [r.id for r in list_runs(tmp_path)] == [run.id]
    assert sorted(p.name for p in (tmp_path / run.id).iterdir()) == [
        "arrays.safetensors",
        "prompts.jsonl",
        "run.json",
    ]
    assert list_runs(tmp_path / "nowhere") == []


def test_a_run_that_is_there_is_kept(run, tmp_path):
    write_run(run, tmp_path)
    later = write_run(replace(run, created="2027-01-01T00:00:00"), tmp_path)
    assert later.created == run.created


def test_runs_are_listed_by_age_then_id(tmp_path):
    runs = [
        replace(table_run(np.eye(3), "abc"), id=id_, created=f"2026-01-0{day}")
        for id_, day in (("b", 2), ("a", 2), ("c", 1))
    ]
    for run in runs:
        write_run(run, tmp_path)
    assert [r.id for r in list_runs(tmp_path)] == ["c", "a", "b"]


def test_a_discarded_run_is_gone_and_a_table_without_a_folder_stays_what_it_is(run, tmp_path):
    discard_run(write_run(run, tmp_path))
    assert list(tmp_path.iterdir()) == []
    discard_run(run)


@pytest.mark.parametrize("name", ["run.json", "prompts.jsonl"])
@pytest.mark.parametrize("damage", ["gone", "cut", "bytes"])
def test_a_damaged_description_is_named(run, tmp_path, name, damage):
    file = write_run(run, tmp_path).path / name
    data = file.read_bytes()
    file.unlink() if damage == "gone" else file.write_bytes(
        data[: len(data) // 2] if damage == "cut" else b"\xff" + data
    )
    with pytest.raises(InputError, match="this run cannot be read") as caught:
        list_runs(tmp_path)
    assert str(tmp_path / run.id) in str(caught.value)


def test_damaged_arrays_are_named_when_first_asked_for(run, tmp_path):
    written = write_run(run, tmp_path)
    (written.path / "arrays.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    again = read_run(written.path)
    with pytest.raises(InputError, match="arrays of run .* cannot be read .* ingest .* again"):
        _ = again.effects
    with pytest.raises(InputError, match="has no arrays"):
        _ = replace(run, _arrays=None).effects


def test_a_run_of_another_format_is_refused(run, tmp_path):
    file = write_run(run, tmp_path).path / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 99}))
    with pytest.raises(InputError, match="written by another version"):
        list_runs(tmp_path)


def test_an_id_is_of_name_weights_prompts_and_method(run):
    method = Method("effect")
    known = {run_id(run.variant, method, "p")}
    known.add(run_id(run.variant, method, "q"))
    known.add(run_id(run.variant, replace(method, inputs="split"), "p"))
    known.add(run_id(replace(run.variant, name="b"), method, "p"))
    known.add(run_id(replace(run.variant, fingerprint="f"), method, "p"))
    assert len(known) == 5
    moved = replace(run.variant, base="/elsewhere", adapter="/there", recipe="r")
    assert run_id(moved, method, "p") in known


def test_a_file_is_replaced_in_one_step_and_leaves_nothing_beside_it(tmp_path):
    for data in (b"old", b"new"):
        write_atomic(tmp_path / "file", data)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"new")]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("granularity", "heads"),
        ("inputs", "both"),
        ("ablation", "noise"),
        ("kind", ""),
        ("dtype", 1),
    ],
)
def test_a_damaged_method_is_no_guess(run, tmp_path, key, value):
    write_run(run, tmp_path)
    file = tmp_path / run.id / "run.json"
    record = json.loads(file.read_text("ascii"))
    record["method"][key] = value
    file.write_text(json.dumps(record))
    with pytest.raises(InputError, match=rf"run\.json.*{key} is {value!r}"):
        read_run(tmp_path / run.id)


def test_words_of_a_method_are_never_guessed():
    assert EdgeSpec.of("layer", "split", "zero") == EdgeSpec("layer", "split", "zero")
    assert EdgeSpec.of("head", "", "") == EdgeSpec("head", "joint", "corrupt")
    for words in (("table", "", ""), ("head", "q", ""), ("", "joint", ""), ("head", "", "none")):
        with pytest.raises(ValueError, match="is none of"):
            EdgeSpec.of(*words)


def test_what_another_run_keeps_of_a_pair_goes_with_either(run, tmp_path):
    other = replace(run, id="cc" + run.id[2:])
    for one in (run, other):
        write_run(one, tmp_path)
    pair = tmp_path / run.id / f"swapped-{other.id}.safetensors"
    pair.touch()
    discard_run(read_run(tmp_path / other.id))
    assert not pair.exists()
    assert [r.id for r in list_runs(tmp_path)] == [run.id]


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4e9), ("4GiB", 4 * 2**30), ("1.5 kib", 1536), ("2Mi", 2**21), ("7", 7), ("7 B", 7)],
)
def test_bytes_are_read_as_they_are_written(text, size):
    assert read_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "4 iB", "4i", "-1GB", "4XB", "٤GB", "1e9"])
def test_bytes_that_are_none_are_told(text):
    with pytest.raises(UsageError, match="write it as 4GB, 4GiB"):
        read_bytes(text)
