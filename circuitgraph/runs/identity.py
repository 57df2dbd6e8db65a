"""Identity of prompts and prompt sets by token ids.

Two spellings that a normaliser or a template makes equal are one prompt; one text that a
template or a tokenizer makes into other tokens is another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from circuitgraph.base.components import digest
from circuitgraph.prompts import Prompt
from circuitgraph.prompts.pairs import check_exchanged, pair_of
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method


def decisive(encoded: Encoded, kind: str, activity: str) -> tuple:
    """The token ids that a prompt's numbers depend on in runs of this kind."""
    if kind == "effect":
        return (encoded.prompt, encoded.corrupt, *encoded.sides, encoded.partners)
    if activity == "projection":
        return (encoded.prompt, encoded.answer, encoded.wrong_answer)
    return (encoded.whole,)


def tokens_of(encoded: Encoded, kind: str, activity: str) -> str:
    """Hash of these ids."""
    return digest("tokens", decisive(encoded, kind, activity))


def fingerprint(rows: Sequence[Encoded], kind: str, activity: str) -> str:
    """Hash of all that a run's numbers depend on: token ids, scenarios, for effects also directions
    and wordings; independent of order, ids and spelling.
    """
    names = ("scenario", *(("direction", "template") if kind == "effect" else ()))
    found = {
        digest(tokens_of(row, kind, activity), *(getattr(row.source, name) for name in names))
        for row in rows
    }
    return digest("prompts", names, sorted(found))


def in_order(rows: Sequence[Encoded], tokenizer: Any) -> tuple[Encoded, ...]:
    """Rows by scenario and by the text of their tokens, independent of the file's spelling."""

    def place(row: Encoded) -> tuple:
        sets = (*row.also, *row.also_wrong)
        parts = (row.whole, row.corrupt or (), row.answer, row.wrong_answer, *sets)
        return (row.source.scenario, [tokenizer.decode(part) for part in parts], parts)

    return tuple(sorted(rows, key=place))


def pairs_of(
    rows: Sequence[Encoded], method: Method, source: str
) -> tuple[tuple[str | None, int], ...]:
    """Name of each row's observation (the same two texts and answers in either order), and ±1.

    −1 where a row is exchanged as against the first of its observation. Patching x' into x and x
    into x' measure the same of an edge, and exchanged answers only turn its sign. Under mean or
    zero ablation each prompt is its own observation.

    Raises
    ------
    InputError
        One observation with contradicting directions.
    """
    if method.kind != "effect" or method.ablation != "corrupt":
        return ((None, 1),) * len(rows)
    return ways_of(rows, source)


def ways_of(rows: Sequence[Encoded], source: str) -> tuple[tuple[str, int], ...]:
    """The same of rows that all have a corrupt prompt; see ``pairs_of``."""
    first: dict[str, tuple[Prompt, int]] = {}
    found = []
    for row in rows:
        key, way = pair_of(row.prompt, row.corrupt, *row.sides)
        before, its_way = first.setdefault(key, (row.source, way))
        check_exchanged(before, row.source, same_way=way == its_way, file=source)
        found.append((key, way * its_way))
    return tuple(found)
