"""Further columns of a prompt file: labels for probes, token spans for attention."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from circuitgraph.base.errors import InputError, UsageError, quoted
from circuitgraph.runs.record import Run

OWN = ("scenario", "template", "direction")
"""Columns that are stored with a run."""


def labels_of(run: Run, column: str, file: str | os.PathLike[str] | None) -> list[Any]:
    """Values of a column for every prompt of a run, in its order.

    Parameters
    ----------
    run
        Of any kind.
    column
        ``scenario``, ``template``, ``direction``, or a column of ``file``.
    file
        The prompt file, JSONL or CSV; rows are matched by the text of their prompts.

    Raises
    ------
    InputError, UsageError
        No file, no such column, or a prompt of the run that the file does not have.
    """
    if column in OWN and file is None:
        return _filled([getattr(prompt, column) for prompt in run.prompts], column)
    if file is None:
        raise UsageError(
            f"``label={column!r}``: a run keeps {', '.join(OWN)}; for another column name the "
            "prompt file by ``prompts``"
        )
    rows = _rows(Path(file))
    if not any(column in row for row in rows):
        raise UsageError(f"{file}: no column {quoted(column)}")
    by_text = {(row.get("prompt"), row.get("corrupt") or None): row for row in rows}
    by_prompt = {row.get("prompt"): row for row in rows}
    found = []
    for prompt in run.prompts:
        row = by_text.get((prompt.prompt, prompt.corrupt)) or by_prompt.get(prompt.prompt)
        if row is None:
            raise InputError(f"{file}: has no prompt {quoted(prompt.prompt or '', 60)} of the run")
        found.append(row.get(column))
    return _filled(found, column)


def _filled(found: list[Any], column: str) -> list[Any]:
    if any(value in (None, "") for value in found):
        raise UsageError(f"``label={column!r}``: some prompts have no value")
    return found


def _rows(file: Path) -> list[Mapping[str, Any]]:
    try:
        text = file.read_text("utf-8-sig")
        if file.suffix.lower() == ".csv":
            return list(csv.DictReader(text.splitlines()))
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from error


def token_spans(run: Run, spans: Sequence[Any], tokenizer: Any) -> list[dict[str, list[int]]]:
    """Token positions of every prompt's character spans.

    Parameters
    ----------
    run
        Without a chat template.
    spans
        For every prompt a mapping from category to ``[[start, end], …]`` in characters, or its
        JSON text.
    tokenizer
        A fast tokenizer, which maps tokens to characters.

    Raises
    ------
    UsageError
        Malformed spans, a chat template, or a category without a token.
    """
    if run.method.template:
        raise UsageError("``spans``: characters of a prompt have other places in a chat template")
    return [
        _positions(own, _offsets(prompt.prompt or "", tokenizer), prompt.prompt or "")
        for prompt, own in zip(run.prompts, spans, strict=True)
    ]


def _offsets(text: str, tokenizer: Any) -> list[tuple[int, int]]:
    """Start and end character of every token of a text, BOS included."""
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    bos = tokenizer.bos_token_id
    added = bos is not None and list(read["input_ids"][:1]) != [bos]
    return [(0, 0)] * added + list(read["offset_mapping"])


def _positions(spans: Any, offsets: Sequence[tuple[int, int]], text: str) -> dict[str, list[int]]:
    try:
        spans = json.loads(spans) if isinstance(spans, str) else spans
        plain = {str(name): [(int(a), int(b)) for a, b in pairs] for name, pairs in spans.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f'``spans`` of {quoted(text, 60)}: write {{"name": [[start, end], …]}} in characters'
        ) from error
    found = {
        name: [
            i for i, (start, end) in enumerate(offsets)
            if end > start and any(start < b and end > a for a, b in pairs)
        ]
        for name, pairs in plain.items()
    }  # fmt: skip
    if empty := [name for name, positions in found.items() if not positions]:
        raise UsageError(f"``spans`` of {quoted(text, 60)}: {quoted(empty[0])} holds no token")
    return found
