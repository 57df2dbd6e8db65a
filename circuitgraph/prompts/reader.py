"""Read prompt files (JSONL and CSV), with errors that name the line."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from circuitgraph.base.errors import quoted
from circuitgraph.base.textfiles import (
    csv_header,
    csv_rows,
    expanded,
    fail,
    file_kind,
    nearest,
    numbered_lines,
    parse_json,
    undecodable,
)
from circuitgraph.prompts.record import PAIR, PLAYED, SETS, SPANS, Prompt, PromptSet

REQUIRED = ("prompt", "scenario")
COLUMNS = (*REQUIRED, *PAIR, *SPANS, "id", "direction", "template", *PLAYED)
_DIRECTIONS = {"": None, "1": 1, "+1": 1, "-1": -1}


GIVEN = Path("the prompts given")
"""Stands for the file where prompts come as rows."""

Rows = Mapping[str, Any]
Source = str | os.PathLike[str] | PromptSet | Iterable[Rows | Prompt]
"""A file, or rows: dictionaries, a pandas table, prompts already read."""

_CONVERT = {
    ".json": "; of a JSON list: pandas.read_json(FILE).to_json('prompts.jsonl', orient='records', "
    "lines=True)",
    ".txt": '; write one object a line, {"prompt": "…", "scenario": "…"}, into a .jsonl',
    ".tsv": "; pandas.read_csv(FILE, sep='\\t').to_csv('prompts.csv', index=False)",
    ".xlsx": "; save the sheet as CSV (UTF-8)",
    ".parquet": "; pandas.read_parquet(FILE).to_csv('prompts.csv', index=False)",
}


class _Place(NamedTuple):
    path: Path
    line: int

    def fail(self, what: str) -> NoReturn:
        fail(self.path, self.line, what)


def read_prompts(source: Source) -> PromptSet:
    """Read a prompt file, or take prompts as rows; file order is kept, duplicates included.

    Parameters
    ----------
    source
        ``.jsonl`` (one object a line) or ``.csv`` (a header line, commas), UTF-8; or a pandas
        table, or dictionaries, whose rows are counted from 1 in messages.
        Columns: ``prompt`` and ``scenario``; ``answer`` and ``wrong_answer``, with or without
        ``corrupt``, in all rows or in none; optionally ``id``, ``direction`` (1 or −1),
        ``template``, and ``span`` with ``corrupt_span`` (the differing words of ``prompt`` and
        ``corrupt``, where these have different numbers of tokens); of prompts about a repeated
        game ``game``, ``state_self`` and ``state_other`` (last moves, C or D), and ``split``
        (``held-out``: not trained on). Other columns are not read, and named in
        ``PromptSet.unread``. In JSONL and rows ``answer`` and ``wrong_answer`` may be lists:
        sets of answers. Texts are kept as written, spaces included; scenarios, ids and
        templates may be numbers.

    Raises
    ------
    InputError
        Anything that would make the prompts ambiguous, with file and line.
    """
    if isinstance(source, PromptSet):
        return source
    path, records = _records(source)
    prompts = tuple(_prompt(_Place(path, line), record) for line, record in records)
    if not prompts:
        fail(path, None, "the file holds no prompts" if path is not GIVEN else "there are none")
    _check_pairs(path, prompts, dict(records))
    _check_ids(path, prompts)
    return PromptSet(prompts, str(path), _unread(record for _, record in records))


def _records(source: Source) -> tuple[Path, list[tuple[int, Rows]]]:
    if not isinstance(source, str | os.PathLike):
        return GIVEN, list(_given(source))
    path = expanded(source)
    reads = "reads prompts from .jsonl and .csv" + _CONVERT.get(path.suffix.lower(), "")
    kind = file_kind(path, (".jsonl", ".csv"), reads)
    return path, list(_jsonl_records(path) if kind == ".jsonl" else _csv_records(path))


def _given(source: Any) -> Iterator[tuple[int, Rows]]:
    """Rows of a pandas table or of dictionaries, without missing values."""
    if hasattr(source, "columns") and not source.columns.is_unique:
        fail(GIVEN, None, "two columns of one name; rename or remove one")
    rows = source.to_dict("records") if hasattr(source, "columns") else source
    if isinstance(rows, Mapping) or not isinstance(rows, Iterable):
        fail(GIVEN, None, f"cannot be read from {type(source).__name__}; give a file or rows")
    for number, row in enumerate(rows, start=1):
        if isinstance(row, Prompt):
            row = row_of(row)
        if not isinstance(row, Mapping):
            fail(GIVEN, number, f"not a row but {quoted(row)}; give dictionaries or a pandas table")
        plain = {str(name): _plain(value) for name, value in row.items()}
        _require_columns(_Place(GIVEN, number), plain)
        yield number, plain


def row_of(prompt: Prompt) -> dict[str, Any]:
    """A prompt as a row, its sets of answers as lists."""
    row = {name: value for name, value in vars(prompt).items() if name not in ("line", *SETS)}
    for name, more in zip(PAIR[1:], (prompt.also, prompt.also_wrong), strict=True):
        row[name] = [row[name], *more] if more else row[name]
    return row


def _plain(value: Any) -> Any:
    """numpy numbers as Python numbers, pandas' missing values as None."""
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    nothing = type(value).__name__ in ("NAType", "NaTType")
    return None if nothing or (isinstance(value, float) and math.isnan(value)) else value


def _unread(records: Iterable[Rows]) -> tuple[tuple[str, str], ...]:
    """Columns that are not read, each with the column it was probably meant to be."""
    names = dict.fromkeys(name for record in records for name in record)
    lacking = [name for name in COLUMNS if name not in (*names, *PLAYED)]
    known = (*COLUMNS, "spans")  # which attention reads of the file itself
    return tuple((name, nearest(name, lacking) or "") for name in names if name not in known)


def _meant(name: str, record: Iterable[str]) -> str:
    """Suggests a misspelt column, for a message that another one is missing."""
    found = nearest(name, [other for other in record if other not in COLUMNS])
    return "" if found is None else f" (is the column {quoted(found)} meant to be {name!r}?)"


def _require_columns(place: _Place, record: Rows) -> None:
    for name in REQUIRED:
        if name not in record:
            place.fail(
                f"no {name!r}{_meant(name, record)}; every prompt needs {' and '.join(REQUIRED)}"
                + _ONE_SCENARIO * (name == "scenario")
            )


_ONE_SCENARIO = ' (without groups of paraphrases put the same word on all, "scenario": "all")'


def _jsonl_records(path: Path) -> Iterator[tuple[int, Rows]]:
    for line, text in numbered_lines(path):
        if not text.strip():
            continue
        record = parse_json(path, text.rstrip(), line)
        if not isinstance(record, dict):
            fail(path, line, "not an object; write one {…} a line")
        _require_columns(_Place(path, line), record)
        yield line, record


def _csv_records(path: Path) -> Iterator[tuple[int, Rows]]:
    rows = csv_rows(path)
    header = csv_header(path, rows)
    for name in COLUMNS:
        if header.count(name) > 1:
            fail(path, 1, f"the column {name!r} stands twice; rename or remove one")
        if name in REQUIRED and name not in header:
            fail(
                path,
                1,
                f"no column {name!r}{_meant(name, header)}; the header names "
                f"{quoted(', '.join(header))}" + _ONE_SCENARIO * (name == "scenario"),
            )
    for line, row in rows:
        if len(row) != len(header):
            count = f"{len(row)} cells under {len(header)} column names"
            fail(path, line, f"{count}; quote texts that hold commas, quotes or line breaks")
        yield line, dict(zip(header, row, strict=True))


def _prompt(place: _Place, record: Rows) -> Prompt:
    prompt = _text(place, "prompt", record["prompt"])
    pair = _pair(place, record)
    return Prompt(
        prompt=prompt,
        scenario=_words(place, "scenario", _as_label(record["scenario"])),
        **pair,
        **_spans(place, record, prompt, pair.get("corrupt")),
        id=_label(place, "id", record.get("id")),
        direction=_direction(place, record.get("direction")),
        template=_label(place, "template", record.get("template")),
        **_played(place, record),
        line=place.line,
    )


def _played(place: _Place, record: Rows) -> dict[str, Any]:
    """The game and both last moves, which come together."""
    found = {name: _label(place, name, record.get(name)) for name in PLAYED}
    moves = [found[name] for name in PLAYED[1:3]]
    if moves == [None, None]:
        return found
    if any(move not in ("C", "D") for move in moves):
        shown = " and ".join(quoted(move or "") for move in moves)
        place.fail(
            f"state_self and state_other are {shown}; both say C (cooperated) or D, or are empty"
        )
    return found


def _pair(place: _Place, record: Rows) -> dict[str, Any]:
    missing = [name for name in PAIR if record.get(name) in (None, "", [])]
    if len(missing) == len(PAIR):
        return {}
    if missing and missing != ["corrupt"]:
        place.fail(
            f"no {missing[0]!r}{_meant(missing[0], record)}; answer and wrong_answer come "
            "together, and with every corrupt"
        )
    sides = [_answers(place, name, record[name]) for name in PAIR[1:]]
    both = sorted(set(sides[0]) & set(sides[1]))
    if both:
        place.fail(f"answer and wrong_answer are both {quoted(both[0])}; they must differ")
    pair: dict[str, Any] = {name: side[0] for name, side in zip(PAIR[1:], sides, strict=True)}
    pair |= {name: side[1:] for name, side in zip(SETS, sides, strict=True)}
    if not missing:
        pair["corrupt"] = _text(place, "corrupt", record["corrupt"])
    return pair


def _answers(place: _Place, name: str, value: Any) -> tuple[str, ...]:
    """One answer, or a sorted set of them."""
    if not isinstance(value, list | tuple):
        return (_text(place, name, value),)
    found = [_text(place, name, each) for each in value]
    twice = next((text for text in found if found.count(text) > 1), None)
    if twice is not None:
        place.fail(f"{quoted(twice)} stands twice in {name}; remove one")
    return tuple(sorted(found))


def _spans(place: _Place, record: Rows, prompt: str, corrupt: str | None) -> dict[str, Any]:
    """The marks, which must name the one place where prompt and corrupt differ."""
    missing = [name for name in SPANS if record.get(name) in (None, "")]
    if len(missing) == len(SPANS):
        return {}
    if missing:
        place.fail(
            f"no {missing[0]!r}; span and corrupt_span come together, each with a word or more: "
            "where words are only added, mark a neighbouring word too"
        )
    if corrupt is None:
        place.fail("span and corrupt_span say where corrupt differs, but there is no corrupt")
    marks = {name: _text(place, name, record[name]) for name in SPANS}
    sides = (("prompt", prompt), ("corrupt", corrupt))
    around = [_around(place, *mark, *side) for mark, side in zip(marks.items(), sides, strict=True)]
    for where, clean, other in zip(("before", "after"), *around, strict=True):
        if clean != other:
            place.fail(
                f"prompt and corrupt differ {where} span and corrupt_span too; mark all from "
                "the first difference to the last"
            )
    return marks


def _around(place: _Place, name: str, span: str, column: str, text: str) -> tuple[str, str]:
    """The text before and after the marked words."""
    first, last = text.find(span), text.rfind(span)
    if first < 0:
        place.fail(f"{name!r} is {quoted(span)}, which is not in {column}; copy it from there")
    if first != last:
        place.fail(
            f"{name!r} is {quoted(span)}, which stands more than once in {column}; mark more words "
            "around it, in both texts"
        )
    return text[:first], text[first + len(span) :]


def _text(place: _Place, name: str, value: Any) -> str:
    """Text for the model."""
    found = _words(place, name, value)
    if found.isspace():
        place.fail(f"{name!r} holds only white space; write it or remove the row")
    return found


def _words(place: _Place, name: str, value: Any) -> str:
    if value is None or value == "":
        place.fail(f"{name!r} is empty; write it or remove the row")
    if not isinstance(value, str):
        place.fail(f"{name!r} is not text but {quoted(value)}; put it in quotes")
    if undecodable(value):
        place.fail(f"{name!r} holds half a character (a lone surrogate); write it again")
    return value


def _as_label(value: Any) -> Any:
    """Numbers may serve as names."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if number and math.isfinite(value) else value


def _label(place: _Place, name: str, value: Any) -> str | None:
    return None if value is None or value == "" else _words(place, name, _as_label(value))


def _direction(place: _Place, value: Any) -> int | None:
    if type(value) in (int, float) and value in (1, -1):
        return int(value)
    if value is not None and (not isinstance(value, str) or value not in _DIRECTIONS):
        place.fail(f"'direction' is {quoted(value)}; it must be 1, -1 or empty")
    return _DIRECTIONS[value or ""]


def _check_pairs(path: Path, prompts: tuple[Prompt, ...], records: Mapping[int, Rows]) -> None:
    """Corrupt twins are in all rows or in none, and so are answers."""
    first = prompts[0]
    for name, prompt in product(("answer", "corrupt"), prompts):
        mine, its = getattr(prompt, name), getattr(first, name)
        if (mine is None) != (its is None):
            bare, full = (prompt, first) if its else (first, prompt)
            there = f"but line {full.line} has one; give it in every row or in none"
            fail(path, bare.line, f"no {name}{_meant(name, records[bare.line])}, {there}")


def _check_ids(path: Path, prompts: tuple[Prompt, ...]) -> None:
    """An id names one prompt; a row copied whole, id included, is a duplicate."""
    known: dict[str, Prompt] = {}
    for prompt in prompts:
        if prompt.id is None:
            continue
        first = known.setdefault(prompt.id, prompt)
        if replace(prompt, line=first.line) != first:
            other = f"names another prompt on line {first.line}"
            fail(path, prompt.line, f"the id {quoted(prompt.id)} already {other}; ids must differ")
