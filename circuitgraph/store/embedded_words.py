"""Shortened error messages of ladybug, with reserved words named."""

from __future__ import annotations

import re

import ladybug

from circuitgraph.base.errors import first_line


def reason(error: BaseException) -> str:
    """ladybug's message without its list of expected tokens."""
    return first_line(Exception(re.sub(r" expecting \{[^}]*\}", "", str(error))), 2000)


def refused(connection: ladybug.Connection, cypher: str, error: BaseException) -> str:
    """Why a statement is rejected, and how to escape a reserved word."""
    word = _word_at(cypher, str(error))
    if not word or not _is_reserved(connection, word):
        return reason(error)
    return f"{reason(error)}; {word} is a reserved word: as a name put it in backticks: `{word}`"


def _word_at(cypher: str, error: str) -> str:
    """The word that a parser exception points at, or ""."""
    found = re.search(r"\(line: (\d+), offset: (\d+)\)", error)
    if not found:
        return ""
    line, offset = int(found[1]), int(found[2])
    lines = cypher.split("\n")[line - 1 : line]
    word = re.match(r"[A-Za-z_]\w*", lines[0][offset:]) if lines else None
    return word[0] if word else ""


def _is_reserved(connection: ladybug.Connection, word: str) -> bool:
    """Whether ladybug needs backticks around the word."""
    return _answers(connection, f"`{word}`") and not _answers(connection, word)


def _answers(connection: ladybug.Connection, name: str) -> bool:
    try:
        connection.execute(f"RETURN 1 AS {name}")
    except RuntimeError:
        return False
    return True
