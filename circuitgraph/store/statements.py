"""Allow-list of read-only Cypher for both stores.

A database's own read-only mode is no wall: a ladybug file opened read-only still exports
files, installs extensions and checkpoints; a Neo4j session that may only read still loads
files and addresses and calls procedures. So a statement must begin as a question does,
hold no word that begins anything else, and call procedures that are known to read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from circuitgraph.base.errors import UsageError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


QUESTIONS = frozenset({"MATCH", "OPTIONAL", "UNWIND", "WITH", "RETURN", "CALL", "SHOW"})
"""Words a statement that reads may begin with."""

OTHERS = _words(
    "ALTER ATTACH CHECKPOINT COPY CREATE DELETE DETACH DROP EXPORT FOREACH IMPORT INSERT INSTALL"
    " LOAD MERGE NODETACH REMOVE SET TERMINATE TRANSACTIONS UNINSTALL USE"
)
"""Words that begin a clause which does more than read, wherever in a statement they stand."""

SHOWN = frozenset({"CONSTRAINTS", "FUNCTIONS", "INDEXES", "PROCEDURES"})
"""What SHOW may show."""

PROCEDURES = _words(
    # ladybug
    "bm_info catalog_version current_setting db_version show_attached_databases show_connection"
    " show_functions show_indexes show_loaded_extensions show_macros show_sequences show_tables"
    " show_warnings stats_info storage_info storage_version table_info"
    # Neo4j
    " db.index.fulltext.querynodes db.index.fulltext.queryrelationships"
    " db.index.vector.querynodes db.index.vector.queryrelationships db.info db.labels db.ping"
    " db.propertykeys db.relationshiptypes db.schema.nodetypeproperties"
    " db.schema.reltypeproperties db.schema.visualization dbms.components"
)
"""Procedures known to read; names in lower case."""

FUNCTIONS = frozenset(
    {"date", "datetime", "duration", "localdatetime", "localtime", "point", "time", "vector"}
)
"""First parts of the dotted names of functions that only compute."""

SIDE_EFFECTS = frozenset({"nextval", "setseed"})
"""Functions without a dot that change something."""

_TOKENS = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      |(?P<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")
      |(?P<quoted>`(?:``|[^`])*`)
      |\$(?P<parameter>\w+)
      |(?P<number>\d[\d_]*)
      |(?P<word>[^\W\d]\w*)
      |(?P<space>\s+)
      |(?P<sign>::|\.\.|.)""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\u+[0-9a-fA-F]{4}", re.IGNORECASE)
_SUFFIX = re.compile(r"[eE]\d*|x[0-9a-fA-F]+|o[0-7]+|[fFdD]")
_ENDS = ("", ",", ")", "}", ";")
"""What may follow a name in a list of names, and follows no word that begins a clause."""
_WAY_OUT = "cypher reads and nothing else"


@dataclass(frozen=True)
class Token:
    """A piece of a statement: its kind (a group of the pattern above), its text."""

    kind: str
    text: str

    @property
    def named(self) -> bool:
        """Whether the token can be a name."""
        return self.kind in ("word", "quoted")

    @property
    def name(self) -> str:
        """The name without backticks, in lower case."""
        return self.text.strip("`").lower()

    @property
    def keyword(self) -> str:
        """The word in capitals; "" for other tokens."""
        if self.kind != "word":
            return ""
        return unicodedata.normalize("NFKC", self.text).casefold().upper()


_NONE = Token("sign", "")


def tokens(cypher: str) -> list[Token]:
    """Tokens of a Cypher text, with comments and blanks."""
    found = _TOKENS.finditer(cypher)
    return [Token(match.lastgroup or "sign", match.group()) for match in found]


def parameter_names(cypher: str) -> list[str]:
    """Parameters of a Cypher text in order of appearance.

    Quoted texts, back-quoted names and comments are skipped.
    """
    asked = (token.text[1:] for token in tokens(cypher) if token.kind == "parameter")
    return list(dict.fromkeys(asked))


def reading(cypher: str) -> str:
    """Check that a statement only reads; returns it without comments.

    Databases differ in where a comment ends, so none reaches them.

    Raises
    ------
    UsageError
        The statement may do anything else than read, or cannot be told apart from one that
        does.
    """
    if _ESCAPE.search(cypher):
        raise UsageError(
            rf"{_WAY_OUT}: a \u escape is refused; write the character itself, or send it as a "
            "parameter"
        )
    found = tokens(cypher)
    statement = [token for token in found if token.kind not in ("comment", "space")]
    _refuse_open(statement)
    while statement and statement[-1].text == ";":
        statement.pop()
    if any(token.text == ";" for token in statement):
        raise UsageError("give one statement at a time: the query holds several")
    _refuse_beginning(statement)
    _refuse_words(found)
    _refuse_calls(statement)
    return "".join(" " if token.kind == "comment" else token.text for token in found)


def _refuse_open(statement: Sequence[Token]) -> None:
    """Refuse unclosed quotes and comments."""
    signs = [token.text if token.kind == "sign" else "" for token in statement]
    if {"'", '"', "`"} & set(signs) or ("/", "*") in pairwise(signs):
        raise UsageError("the query holds a quote or comment that is not closed")


def _refuse_beginning(statement: Sequence[Token]) -> None:
    words = [token.keyword for token in statement[:3]]
    if words and words[0] in ("EXPLAIN", "PROFILE"):
        words = words[1:]
    first, second = [*words, "", ""][:2]
    if first not in QUESTIONS:
        begins = f"and no question begins with {first[:60]}" if first else "and this asks nothing"
        raise UsageError(
            f"the graph does not accept this query: {_WAY_OUT}, {begins}; begin with MATCH, "
            "UNWIND, WITH, RETURN or CALL"
        )
    if first == "SHOW" and second not in SHOWN:
        raise UsageError(
            f"{_WAY_OUT}: SHOW {second} is refused; it shows {', '.join(sorted(SHOWN))}"
        )


def _refuse_words(found: Sequence[Token]) -> None:
    """Refuse keywords of writing clauses, except in the place of a name."""
    for before, token in pairwise(found):
        _refuse_glued(before, token)
    solid = [token for token in found if token.kind not in ("comment", "space")]
    padded = [_NONE, _NONE, _NONE, *solid, _NONE]
    for four in zip(padded, padded[1:], padded[2:], solid, strict=False):
        _refuse_of_number(*four)
    for before, token, after in zip(padded[2:], solid, padded[4:], strict=False):
        if token.keyword in OTHERS and not _only_a_name(before, after):
            raise UsageError(
                f"{_WAY_OUT}: {token.keyword} is refused; if it is a name, put it in backticks: "
                f"`{token.text}`"
            )


def _refuse_glued(before: Token, token: Token) -> None:
    """Refuse 0o7CREATE or $1SET: databases disagree about the end of a number."""
    if before.kind == "number" and token.kind == "word" and not _SUFFIX.fullmatch(token.text):
        raise UsageError(f"{_WAY_OUT}: put a blank between {before.text} and {token.text}")
    name = token.text[1:]
    if token.kind == "parameter" and name[0].isdigit() and not name.isdecimal():
        raise UsageError(f"{_WAY_OUT}: the parameter {token.text} must begin with a letter")


def _refuse_of_number(oldest: Token, older: Token, before: Token, token: Token) -> None:
    """Refuse 1.SET or 1e5.SET, which may be read as 1. and a clause."""
    exponent = oldest.kind == "number" and older.kind == "word"
    if before.text != "." or not token.named or not (older.kind == "number" or exponent):
        return
    if exponent or not _SUFFIX.fullmatch(token.text):
        raise UsageError(
            f"{_WAY_OUT}: {older.text}.{token.text} is refused; no number has properties"
        )


def _only_a_name(before: Token, after: Token) -> bool:
    """Whether only a name can stand here: after a dot or colon, or before a colon.

    So it has after AS; but AS may be a name itself (``WITH 1 AS AS LOAD FROM …``, ``WHERE as
    SET …``), so that there the word must also have nothing behind it that it could act on.
    """
    if before.text in (".", ":") or after.text == ":":
        return True
    return before.keyword == "AS" and after.text in _ENDS


def _refuse_calls(statement: Sequence[Token]) -> None:
    """Refuse procedures and functions that are not on the list, and subqueries."""
    rest = [*statement, _NONE, _NONE]
    for place, token in enumerate(statement):
        before = rest[place - 1] if place else _NONE
        if before.text == "." or not token.named:
            continue
        if token.keyword == "CALL" and not _only_a_name(before, rest[place + 1]):
            name, after = _dotted(rest, place + 1)
            if name and (name not in PROCEDURES or after.text == "="):
                raise UsageError(
                    f"{_WAY_OUT}: CALL {name} is not among the procedures that do; if {token.text} "
                    f"is a name, put it in backticks: `{token.text}`"
                )
            if not name and after.text not in ("{", "("):
                raise UsageError(f"{_WAY_OUT}: CALL {after.text[:60]} is refused")
        elif before.keyword != "CALL":
            _refuse_function(*_dotted(rest, place))


def _refuse_function(name: str, after: Token) -> None:
    first, dot, _ = name.partition(".")
    known = first in FUNCTIONS if dot else name not in SIDE_EFFECTS
    if after.text == "(" and not known:
        raise UsageError(f"{_WAY_OUT}: the function {name} is not among those that do")


def _dotted(rest: Sequence[Token], place: int) -> tuple[str, Token]:
    """A dotted name in lower case, and the rest."""
    parts: list[str] = []
    while rest[place].named:
        parts.append(rest[place].name)
        place += 1
        if rest[place].text != ".":
            break
        place += 1
    return ".".join(parts), rest[place]
