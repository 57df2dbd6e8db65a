"""Tables as text: exact small examples, and what no format may change."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitgraph.base.errors import InputError, UsageError, short
from circuitgraph.base.frames import records, to_text, write_frame

NAN = float("nan")


def table(frame: pd.DataFrame, width: int | None = None) -> list[str]:
    return to_text(frame, "table", width=width).splitlines()


def test_numbers_line_up_and_texts_stand_left() -> None:
    frame = pd.DataFrame(
        {"name": ["L0H0", "L10_MLP"], "n": [5, 120], "weight": [0.5, -0.0123], "q": [2e-113, 0.04]}
    )
    assert table(frame) == [
        "name       n   weight       q",
        "L0H0       5   0.5000  2e-113",
        "L10_MLP  120  -0.0123    0.04",
    ]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([13.5375, 0.02442], ["13.54", "0.02"]),
        ([1.0, -1.0], ["1", "-1"]),
        ([0.0, 0.0], ["0", "0"]),
        ([1234.5678, NAN], ["1235", ""]),
        ([2.5e-7, -1.25e-9], ["2.5e-07", "-1.25e-09"]),
        ([3e12, 1.0], ["3e+12", "1"]),
        ([0.5, -0.00001], ["0.5000", "0.0000"]),
        ([float("inf"), 0.5], ["inf", "0.5000"]),
        ([NAN, NAN], ["", ""]),
    ],
)
def test_a_column_has_as_many_decimals_as_its_largest_number_needs(
    values: list[float], shown: list[str]
) -> None:
    assert [line.strip() for line in table(pd.DataFrame({"x": values}))[1:]] == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.0, "1"), (0.7285, "0.73"), (0.0012, "0.0012"), (3.4e-5, "3e-05"), (0, "0")],
)
@pytest.mark.parametrize("name", ["p", "q", "effect_q"])
def test_chances_have_two_digits(name: str, value: float, shown: str) -> None:
    assert table(pd.DataFrame({name: [float(value)]}))[1].strip() == shown


def test_nothing_flags_ids_and_times_are_brief() -> None:
    frame = pd.DataFrame(
        {
            "id": ["0123456789abcdef" * 4],
            "created": ["2026-01-02T03:04:05.678901+00:00"],
            "changed": [True],
            "reason": [None],
        }
    )
    assert table(frame)[1] == "0123456789ab  2026-01-02 03:04  yes"
    assert ("0123456789abcdef" * 4) in to_text(frame, "table", whole=True)


def test_only_the_first_rows_are_shown_and_the_rest_is_told() -> None:
    lines = table(pd.DataFrame({"x": range(100)}))
    assert len(lines) == 42
    assert lines[-1] == "… and 60 of 100 rows: CSV, JSON and files hold all"
    assert len(to_text(pd.DataFrame({"x": range(100)}), "table", whole=True).splitlines()) == 101


def test_columns_that_do_not_fit_are_told() -> None:
    frame = pd.DataFrame({f"column{i}": ["some text"] * 2 for i in range(12)})
    lines = table(frame, width=60)
    assert all(len(line) <= 60 for line in lines[:-1])
    assert lines[0].split() == [f"column{i}" for i in range(5)]
    assert "the columns column5, column6" in lines[-1]
    assert "column11" in lines[-1]


def test_the_verdict_stands_before_the_numbers_where_it_would_be_left_out() -> None:
    frame = pd.DataFrame({"source": ["L0H0"], **{f"x{i}": [0.1234 + i] for i in range(9)}})
    frame = pd.concat([frame.assign(verdict="sign_flip", reason="none")] * 2)
    wide, narrow = table(frame, width=120), table(frame, width=60)
    assert wide[0].split() == list(frame)
    assert narrow[0].split()[:3] == ["source", "verdict", "x0"]
    assert narrow[1].split()[1] == "sign_flip"
    assert all(len(line) <= 60 for line in narrow[:-1])
    assert "verdict" not in narrow[-1]
    assert to_text(frame, "csv").startswith("source,x0,")


def test_texts_are_shortened_before_columns_are_left_out() -> None:
    frame = pd.DataFrame({"path": ["/a/long/way/to/the/adapter-seed1"] * 2, "n": [1, 2]})
    assert table(frame, width=30) == [
        "path                         n",
        "/a/long/way/t…adapter-seed1  1",
        "/a/long/way/t…adapter-seed1  2",
    ]


def test_one_row_that_does_not_fit_stands_upright() -> None:
    frame = pd.DataFrame({"first": ["a" * 30], "second": ["b" * 30], "third": [0.25]})
    assert table(frame, width=50) == [
        f"first   {'a' * 30}",
        f"second  {'b' * 30}",
        "third   0.2500",
    ]


def test_an_empty_table_still_names_its_columns() -> None:
    assert table(pd.DataFrame({"a": [], "b": []})) == ["a  b"]
    assert to_text(pd.DataFrame({"a": [], "b": []}), "json") == "[]\n"
    assert to_text(pd.DataFrame({"a": [], "b": []}), "csv") == "a,b\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain ρ → é", "plain ρ → é"),
        ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202eturned", "\\u202eturned"),
        ("x" * 100, f"{'x' * 24}…{'x' * 23}"),
        ("", ""),
    ],
)
def test_a_short_name_is_one_harmless_line(name: str, shown: str) -> None:
    assert short(name) == shown


@given(st.text(max_size=500), st.integers(3, 80))
def test_short_is_always_short_and_printable(text: str, width: int) -> None:
    assert len(short(text, width)) <= width
    assert short(text, width).isprintable()


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1)


@given(st.lists(names, min_size=1, max_size=5))
def test_csv_and_json_return_every_name(given_names: list[str]) -> None:
    frame = pd.DataFrame({"name": given_names, "n": range(len(given_names))})
    read = list(csv.DictReader(io.StringIO(to_text(frame, "csv"), newline="")))
    assert [row["name"] for row in read] == given_names
    assert [row["name"] for row in json.loads(to_text(frame, "json"))] == given_names


def test_json_is_strict_and_keeps_types() -> None:
    frame = pd.DataFrame(
        {
            "x": [1.5, NAN, float("inf")],
            "n": np.array([1, 2, 3]),
            "yes": [True, False, True],
            "name": pd.Categorical(["a", "b", "a"]),
            "gone": [None, "x", None],
        }
    )
    assert records(frame) == [
        {"x": 1.5, "n": 1, "yes": True, "name": "a", "gone": None},
        {"x": None, "n": 2, "yes": False, "name": "b", "gone": "x"},
        {"x": None, "n": 3, "yes": True, "name": "a", "gone": None},
    ]
    json.loads(to_text(frame, "json"), parse_constant=pytest.fail)


@pytest.mark.parametrize("format_", ["csv", "json", "parquet", "table"])
def test_a_file_is_whole_or_not_there(tmp_path: Path, format_: str) -> None:
    frame = pd.DataFrame({"a": ["x"], "b": [0.5]})
    write_frame(frame, format_, tmp_path / "t")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "folder", tmp_path / "absent" / "t"):
        with pytest.raises(InputError, match="cannot be written"):
            write_frame(frame, format_, place)  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "t"]


def test_parquet_comes_back_as_it_was(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["x\r\n", "\x1b"], "b": [0.1, NAN]})
    write_frame(frame, "parquet", tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), frame)
    with pytest.raises(UsageError, match="-o FILE"):
        to_text(frame, "parquet")


def test_columns_that_must_be_seen_stay_while_texts_can_be_shortened():
    frame = pd.DataFrame(
        {"source": ["x" * 40], "target": ["y" * 40], "verdict": ["not_detected"], "p": ["z" * 30]}
    )
    frame = pd.concat([frame, frame], ignore_index=True)
    kept = to_text(frame, "table", width=40, must=3)
    assert kept.splitlines()[0].split() == ["source", "target", "verdict"]
    assert max(map(len, kept.splitlines()[:3])) <= 40
    assert "the columns p" in kept
    other = frame.rename(columns={"verdict": "reason"})
    assert "reason" not in to_text(other, "table", width=40).splitlines()[0]


def test_lists_are_read_as_lists():
    frame = pd.DataFrame({"path": [["L0_MLP", "LOGITS"]], "deltas": [[0.028956823364710005, 1.0]]})
    text = to_text(pd.concat([frame, frame], ignore_index=True), "table")
    assert text.splitlines()[1].split("  ") == ["L0_MLP, LOGITS", "0.02896, 1"]
