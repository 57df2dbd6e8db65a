"""What makes two prompts, and two sets of prompts, the same: what the model reads.

Two spellings that a normaliser or a template makes equal are one prompt; one text that a
template or a tokenizer makes into other tokens is another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from circuitgraph.components import digest
from circuitgraph.tokens import Encoded


def decisive(encoded: Encoded, kind: str, activity: str) -> tuple:
    """The token ids that decide a prompt's numbers in runs of this kind."""
    if kind == "effect":
        answers = (encoded.answer, encoded.wrong_answer)
        return (encoded.prompt, encoded.corrupt, *answers, encoded.partners)
    if activity == "projection":
        return (encoded.prompt, encoded.answer, encoded.wrong_answer)
    return (encoded.whole,)


def tokens_of(encoded: Encoded, kind: str, activity: str) -> str:
    """Hash of these ids."""
    return digest("tokens", decisive(encoded, kind, activity))


def fingerprint(rows: Sequence[Encoded], kind: str, activity: str) -> str:
    """Hash of all that decides a run's numbers: token ids, scenarios, for effects also the
    directions and wordings. Blind to order, ids and spelling."""
    names = ("scenario", *(("direction", "template") if kind == "effect" else ()))
    found = {
        digest(tokens_of(row, kind, activity), *(getattr(row.source, name) for name in names))
        for row in rows
    }
    return digest("prompts", names, sorted(found))


def in_order(rows: Sequence[Encoded], tokenizer: Any) -> tuple[Encoded, ...]:
    """By scenario and by the text the tokens stand for: blind to how a file spells them."""

    def place(row: Encoded) -> tuple:
        parts = (row.prompt, row.corrupt or (), row.answer, row.wrong_answer)
        return (row.source.scenario, [tokenizer.decode(part) for part in parts], parts)

    return tuple(sorted(rows, key=place))
