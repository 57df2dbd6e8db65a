"""Read prompt files: JSONL and CSV, with errors that name the line and what to do."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from circuitgraph.prompts.record import PAIR, SPANS, Prompt, PromptSet
from circuitgraph.textfiles import (
    csv_header,
    csv_rows,
    fail,
    file_kind,
    numbered_lines,
    parse_json,
    shown,
    undecodable,
)

REQUIRED = ("prompt", "scenario")
COLUMNS = (*REQUIRED, *PAIR, *SPANS, "id", "direction", "template")
_DIRECTIONS = {"": None, "1": 1, "+1": 1, "-1": -1}


class _Place(NamedTuple):
    path: Path
    line: int

    def fail(self, what: str) -> NoReturn:
        fail(self.path, self.line, what)


def read_prompts(path: str | os.PathLike[str]) -> PromptSet:
    """Read a prompt file.

    Parameters
    ----------
    path
        ``.jsonl`` (one object a line) or ``.csv`` (a header line, commas), UTF-8.
        Columns: ``prompt`` and ``scenario``; ``answer`` and ``wrong_answer``, with or without
        ``corrupt``, in all rows or in none; optionally ``id``, ``direction`` (1 or −1),
        ``template``, and ``span`` with ``corrupt_span`` (the differing words of ``prompt`` and
        ``corrupt``, where these have different numbers of tokens). Other columns are ignored.
        Texts are kept as written, spaces included; scenarios, ids and templates may be numbers.

    Returns
    -------
    PromptSet
        In file order, duplicates included.

    Raises
    ------
    InputError
        Anything that would make the prompts ambiguous, with file and line.
    """
    path = Path(path)
    kind = file_kind(path, (".jsonl", ".csv"), "reads prompts from .jsonl and .csv")
    records = _jsonl_records(path) if kind == ".jsonl" else _csv_records(path)
    prompts = tuple(_prompt(_Place(path, line), record) for line, record in records)
    if not prompts:
        fail(path, None, "the file holds no prompts")
    _check_pairs(path, prompts)
    _check_ids(path, prompts)
    return PromptSet(prompts, str(path))


def _jsonl_records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, text in numbered_lines(path):
        if not text.strip():
            continue
        record = parse_json(path, text.rstrip(), line)
        if not isinstance(record, dict):
            fail(path, line, "not an object; write one {…} a line")
        for name in REQUIRED:
            if name not in record:
                fail(path, line, f"no {name!r}; every prompt needs {' and '.join(REQUIRED)}")
        yield line, record


def _csv_records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    rows = csv_rows(path)
    header = csv_header(path, rows)
    for name in COLUMNS:
        if header.count(name) > 1:
            fail(path, 1, f"the column {name!r} stands twice; rename or remove one")
        if name in REQUIRED and name not in header:
            fail(path, 1, f"no column {name!r}; the header names {shown(', '.join(header))}")
    for line, row in rows:
        if len(row) != len(header):
            count = f"{len(row)} cells under {len(header)} column names"
            fail(path, line, f"{count}; quote texts that hold commas, quotes or line breaks")
        yield line, dict(zip(header, row, strict=True))


def _prompt(place: _Place, record: Mapping[str, Any]) -> Prompt:
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
        line=place.line,
    )


def _pair(place: _Place, record: Mapping[str, Any]) -> dict[str, str]:
    missing = [name for name in PAIR if record.get(name) in (None, "")]
    if len(missing) == len(PAIR):
        return {}
    if missing and missing != ["corrupt"]:
        place.fail(
            f"no {missing[0]!r}; answer and wrong_answer come together, and with every corrupt"
        )
    texts = {name: _text(place, name, record[name]) for name in PAIR if name not in missing}
    if texts["answer"] == texts["wrong_answer"]:
        place.fail(f"answer and wrong_answer are both {shown(texts['answer'])}; they must differ")
    return texts


def _spans(
    place: _Place, record: Mapping[str, Any], prompt: str, corrupt: str | None
) -> dict[str, str]:
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
    """What stands before and after the marked words in a text."""
    first, last = text.find(span), text.rfind(span)
    if first < 0:
        place.fail(f"{name!r} is {shown(span)}, which is not in {column}; copy it from there")
    if first != last:
        place.fail(
            f"{name!r} is {shown(span)}, which stands more than once in {column}; mark more words "
            "around it, in both texts"
        )
    return text[:first], text[first + len(span) :]


def _text(place: _Place, name: str, value: Any) -> str:
    """Text that a model is to read."""
    found = _words(place, name, value)
    if found.isspace():
        place.fail(f"{name!r} holds only white space; write it or remove the row")
    return found


def _words(place: _Place, name: str, value: Any) -> str:
    if value is None or value == "":
        place.fail(f"{name!r} is empty; write it or remove the row")
    if not isinstance(value, str):
        place.fail(f"{name!r} is not text but {shown(value)}; put it in quotes")
    if undecodable(value):
        place.fail(f"{name!r} holds half a character (a lone surrogate); write it again")
    return value


def _as_label(value: Any) -> Any:
    """Numbers may serve as names; nothing else changes."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if number and math.isfinite(value) else value


def _label(place: _Place, name: str, value: Any) -> str | None:
    return None if value is None or value == "" else _words(place, name, _as_label(value))


def _direction(place: _Place, value: Any) -> int | None:
    if type(value) in (int, float) and value in (1, -1):
        return int(value)
    if value is not None and (not isinstance(value, str) or value not in _DIRECTIONS):
        place.fail(f"'direction' is {shown(value)}; it must be 1, -1 or empty")
    return _DIRECTIONS[value or ""]


def _check_pairs(path: Path, prompts: tuple[Prompt, ...]) -> None:
    """Corrupt twins stand in all rows or in none, and so do answers."""
    first = prompts[0]
    for name, prompt in product(("answer", "corrupt"), prompts):
        mine, its = getattr(prompt, name), getattr(first, name)
        if (mine is None) != (its is None):
            bare, full = (prompt, first) if its else (first, prompt)
            there = f"but line {full.line} has one; give it in every row or in none"
            fail(path, bare.line, f"no {name}, {there}")


def _check_ids(path: Path, prompts: tuple[Prompt, ...]) -> None:
    """An id names one prompt; a row copied whole, id included, is merely a duplicate."""
    known: dict[str, Prompt] = {}
    for prompt in prompts:
        if prompt.id is None:
            continue
        first = known.setdefault(prompt.id, prompt)
        if replace(prompt, line=first.line) != first:
            other = f"names another prompt on line {first.line}"
            fail(path, prompt.line, f"the id {shown(prompt.id)} already {other}; ids must differ")
