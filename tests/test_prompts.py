"""Prompt files: what is read, what counts as the same, what a fingerprint is blind to."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell import jsonl

from circuitgraph.base.errors import InputError
from circuitgraph.prompts import Prompt, PromptSet, read_prompts
from circuitgraph.prompts.report import check_text

ROW = {
    "prompt": 'She said, "no".\nThen',
    "scenario": "refusal",
    "corrupt": 'She said, "yes".\nThen',
    "answer": " left",
    "wrong_answer": " stayed ",
}


def csv_file(path: Path, rows: list[dict]) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_texts_are_kept_as_written_in_both_formats(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"prompt": " NA", "scenario": "null"}]
    expected = [Prompt(**row) for row in rows]
    for path in (jsonl(tmp_path / "p.jsonl", rows), csv_file(tmp_path / "p.csv", rows)):
        prompts = read_prompts(path)
        assert [replace(p, line=0) for p in prompts] == expected
        assert prompts.source == str(path)
        assert prompts.has_pairs


def test_lines_count_quoted_newlines_and_blank_lines(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "p.csv", [ROW, ROW | {"prompt": "x"}])
    assert [p.line for p in read_prompts(path)] == [2, 5]
    path = tmp_path / "p.jsonl"
    path.write_text('\n{"prompt": "a\u2028b", "scenario": "s"}\n\n{"prompt": "c", "scenario": 7}')
    assert [(p.line, p.prompt, p.scenario) for p in read_prompts(path)] == [
        (2, "a\u2028b", "s"),
        (4, "c", "7"),
    ]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(b"\xef\xbb\xbfprompt,scenario\r\na,s\r\n\r\nb,s\r\n")
    (tmp_path / "p.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "a", "scenario": "s"}\r\n')
    assert [(p.prompt, p.line) for p in read_prompts(tmp_path / "p.csv")] == [("a", 2), ("b", 4)]
    assert [p.prompt for p in read_prompts(tmp_path / "p.jsonl")] == ["a"]


def test_optional_columns_may_be_empty_and_others_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(
        "prompt,scenario,direction,template,id,corrupt,answer,wrong_answer,notes\n"
        "a,s,+1,t,1,,,,x\nb,s,-1,,,,,,\nc,s,,,,,,,\n"
    )
    assert [(p.direction, p.template, p.id, p.corrupt) for p in read_prompts(path)] == [
        (1, "t", "1", None),
        (-1, None, None, None),
        (None, None, None, None),
    ]
    rows = [{"prompt": "a", "scenario": "s", "direction": d, "id": i, "x": [1]} for i, d in
            enumerate([1, -1, 1.0, "-1", None])]  # fmt: skip
    read = read_prompts(jsonl(tmp_path / "p.jsonl", rows))
    assert [(p.id, p.direction) for p in read] == [
        ("0", 1), ("1", -1), ("2", 1), ("3", -1), ("4", None)]  # fmt: skip


def test_texts_longer_than_the_csv_module_likes(tmp_path: Path) -> None:
    long = "word " * 40_000
    assert read_prompts(csv_file(tmp_path / "p.csv", [ROW | {"prompt": long}])).prompts[
        0
    ].prompt == (long)


A = Prompt("a", "s", "b", "x", "y", id="1", direction=1, line=2)


def same(*prompts: Prompt) -> PromptSet:
    return PromptSet(prompts, "file")


def test_duplicates_differ_by_kind() -> None:
    other_answers = replace(A, answer="z", line=3)
    prompts = same(A, other_answers, replace(A, id="3", line=4))
    kept, dropped = prompts.distinct("correlation")
    assert (kept.prompts, dropped) == ((A,), 2)
    kept, dropped = prompts.distinct("correlation", "projection")
    assert (kept.prompts, dropped) == ((A, other_answers), 1)
    kept, dropped = prompts.distinct("effect")
    assert (kept.prompts, dropped) == ((A, other_answers), 1)


def test_duplicates_by_tokens() -> None:
    kept, dropped = same(A, replace(A, prompt="A")).distinct(
        "effect", key=lambda p: p.prompt.lower()
    )
    assert (kept.prompts, dropped) == ((A,), 1)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("correlation", {"scenario": "t"}),
        ("effect", {"scenario": "t"}),
        ("effect", {"direction": None}),
        ("effect", {"template": "w"}),
    ],
)
def test_duplicates_that_contradict_each_other(kind: str, change: dict) -> None:
    with pytest.raises(InputError, match=r"^file, line 9: the same prompt as line 2 .*another"):
        same(A, replace(A, line=9, **change)).distinct(kind)  # type: ignore[arg-type]


def test_two_corruptions_of_one_prompt_are_no_contradiction_for_correlations() -> None:
    prompts = same(A, replace(A, corrupt="c", direction=-1))
    assert prompts.distinct("correlation")[1] == 1
    assert prompts.distinct("effect")[1] == 0


def test_fingerprints_see_what_decides_the_numbers() -> None:
    for field, value, seen in [
        ("prompt", "q", {"norm", "projection", "effect"}),
        ("scenario", "t", {"norm", "projection", "effect"}),
        ("answer", "z", {"projection", "effect"}),
        ("corrupt", "c", {"effect"}),
        ("direction", None, {"effect"}),
        ("template", "w", {"effect"}),
        ("id", "9", set()),
        ("line", 9, set()),
    ]:
        one, other = same(A), same(replace(A, **{field: value}))
        changed = {
            a for a in ("norm", "projection")
            if one.fingerprint("correlation", a) != other.fingerprint("correlation", a)
        }  # fmt: skip
        if one.fingerprint("effect") != other.fingerprint("effect"):
            changed.add("effect")
        assert changed == seen, field


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3)
maybe = st.none() | words
prompt_lists = st.lists(
    st.builds(Prompt, words, words, words, words, words, maybe, st.sampled_from([1, -1, None]),
              maybe, st.integers(1, 99)),
    min_size=1, max_size=8,
)  # fmt: skip


@given(prompt_lists, st.randoms(use_true_random=False))
def test_order_and_copies_change_no_fingerprint(prompts: list[Prompt], random) -> None:
    copies = [replace(p, id="copy", line=1000) for p in prompts if random.random() < 0.5]
    shuffled = prompts + copies
    random.shuffle(shuffled)
    for kind, activity in (
        ("correlation", "norm"),
        ("correlation", "projection"),
        ("effect", "norm"),
    ):
        assert same(*prompts).fingerprint(kind, activity) == same(*shuffled).fingerprint(
            kind, activity
        )


@given(prompt_lists, st.randoms(use_true_random=False))
def test_canonical_order_is_blind_to_the_order_of_the_file(prompts: list[Prompt], random) -> None:
    prompts = [replace(p, line=0, direction=None) for p in prompts]
    shuffled = random.sample(prompts, len(prompts))
    ordered = same(*shuffled).canonical()
    assert ordered.to_run_prompts() == same(*prompts).canonical().to_run_prompts()
    names = [(p.scenario, p.prompt) for p in ordered]
    assert names == sorted(names)


def has_blank(prompt: Prompt) -> bool:
    return any(isinstance(value, str) and value.isspace() for value in vars(prompt).values())


@given(prompt_lists)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, prompts) -> None:
    prompts = [p for p in prompts if p.answer != p.wrong_answer and not has_blank(p)]
    prompts = [replace(p, id=f"{i}", line=0) for i, p in enumerate(prompts)]
    if not prompts:
        return
    rows = [{k: v for k, v in vars(p).items() if k != "line" and v is not None} for p in prompts]
    path = jsonl(tmp_path_factory.mktemp("p") / "p.jsonl", rows)
    assert [replace(p, line=0) for p in read_prompts(path)] == prompts
    columns = {k for row in rows for k in row} | {"direction", "template"}
    full = [{k: row.get(k, "") for k in columns} for row in rows]
    assert [replace(p, line=0) for p in read_prompts(csv_file(path.with_suffix(".csv"), full))] == (
        prompts
    )


def test_a_run_remembers_texts_and_names_the_nameless_by_content() -> None:
    nameless = replace(A, id=None, line=5)
    run_a, run_b = same(A, nameless).to_run_prompts()
    assert (run_a.id, run_a.prompt, run_a.corrupt, run_a.direction) == ("1", "a", "b", 1)
    assert len(run_b.id) == 12
    assert same(replace(nameless, line=7)).to_run_prompts() == (run_b,)


# Rows in place of a file, and columns that mean nothing


PLAIN = {"prompt": "p", "scenario": "s", "corrupt": "c", "answer": "x", "wrong_answer": "y"}


def test_rows_of_python_are_read_as_a_file_is(tmp_path: Path) -> None:
    rows = [PLAIN | {"direction": 1, "id": "a"}, PLAIN | {"prompt": "q", "scenario": "t"}]
    file = tmp_path / "p.jsonl"
    jsonl(file, rows)
    read = read_prompts(file).prompts
    frame = pd.DataFrame(rows)  # one direction and one id are NaN there, and 1 is 1.0
    for source in (rows, tuple(rows), frame, iter(rows), read):
        found = read_prompts(source)
        assert [replace(p, line=0) for p in found] == [replace(p, line=0) for p in read]
        assert [p.line for p in found] == [1, 2]
    assert read_prompts(found) is found


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([PLAIN, PLAIN | {"prompt": ""}], "the prompts given, line 2: 'prompt' is empty"),
        ([PLAIN, "p"], "the prompts given, line 2: not a row but 'p'"),
        (pd.DataFrame({"promt": ["p"], "scenario": ["s"]}), "'promt' meant to be 'prompt'"),
        (pd.DataFrame([[1, 2]], columns=["prompt", "prompt"]), "two columns of one name"),
        ([], "the prompts given: there are none"),
        (PLAIN, "cannot be read from dict; give a file or rows"),
        (3, "cannot be read from int; give a file or rows"),
    ],
)
def test_rows_that_are_no_prompts_are_refused(source: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_prompts(source)


def test_unknown_columns_are_named_with_what_they_were_meant_to_be() -> None:
    rows = [{k: v for k, v in PLAIN.items() if k != "corrupt"} | {"corupt": "c", "note": "n"}]
    found = read_prompts(rows)
    assert found.unread == (("corupt", "corrupt"), ("note", ""))
    assert found.misspelt == "unknown column 'corupt' (did you mean corrupt?), not read"
    assert found.lacking == "corrupt"
    said = check_text(found).lines()
    assert f"note: {found.misspelt}" in said
    assert "note: columns not read: 'note'" in said
    # beside the column itself a like name is just another column
    assert read_prompts([PLAIN | {"corrupt_2": "c"}]).unread == (("corrupt_2", ""),)


def test_a_prompt_that_ends_in_a_blank_is_noted() -> None:
    said = check_text(read_prompts([PLAIN, PLAIN | {"prompt": "q "}])).findings
    assert [line for line in said if "ends in a blank on line 2" in line]


@pytest.mark.parametrize(
    ("name", "remedy"), [("p.json", "read_json"), ("p.txt", "one object a line")]
)
def test_files_of_other_kinds_are_told_how_to_become_prompts(
    tmp_path: Path, name: str, remedy: str
) -> None:
    (tmp_path / name).write_text("[]")
    with pytest.raises(InputError, match=remedy):
        read_prompts(tmp_path / name)


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "p.jsonl").write_text(json.dumps(PLAIN))
    assert len(read_prompts("~/p.jsonl")) == 1
