"""The file of the embedded graph (ladybug): opening it, its schema, its errors in short."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import ladybug

from circuitgraph.base.errors import InputError, first_line

_PAGE = 4096
"""Bytes of one page of a ladybug file."""

_SMALL, _FEW = 32 << 20, 100_000
"""Bytes of a file, and rows to be written into it, that a small buffer pool is enough for."""

_POOL = 2 << 30
"""Bytes of the small one. By itself ladybug takes four fifths of the memory, and setting that up
costs two thirds of the time of a small query."""


@contextlib.contextmanager
def opened(
    database: str, path: Path, *, read_only: bool = False, rows: int = 0
) -> Iterator[ladybug.Connection]:
    """A connection to ``database``, into which so many rows are going to be written.

    Raises
    ------
    InputError
        ladybug cannot read it; names ``path``, the file users know.
    """
    with told_of(path):
        _refuse_torn_page(database)
        pool = _pool(Path(database), rows)
        with (
            ladybug.Database(database, buffer_pool_size=pool, read_only=read_only) as file,
            ladybug.Connection(file) as connection,
        ):
            yield connection


@contextlib.contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Errors of ladybug name ``path`` (InputError)."""
    try:
        yield
    except (RuntimeError, MemoryError, UnicodeDecodeError) as error:
        raise InputError(_damaged(path, error)) from error


class Reader:
    """A connection to a file as long as nobody replaces the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open = contextlib.ExitStack()
        self._held: tuple[tuple[int, ...], ladybug.Connection] | None = None

    @contextlib.contextmanager
    def connection(self) -> Iterator[ladybug.Connection]:
        """To the file as it is now; raises as :func:`opened` does."""
        told = self._path.stat()
        stamp = told.st_ino, told.st_size, told.st_mtime_ns
        if self._held is None or self._held[0] != stamp:
            self.close()
            file = opened(str(self._path), self._path, read_only=True)
            self._held = stamp, self._open.enter_context(file)
        with told_of(self._path):
            yield self._held[1]

    def close(self) -> None:
        """Let go of the file."""
        self._open.close()
        self._held = None


def _pool(file: Path, rows: int) -> int:
    """Bytes of the buffer pool; 0 leaves them to ladybug."""
    size = file.stat().st_size if file.exists() else 0
    return _POOL if size <= _SMALL and rows <= _FEW else 0


def _damaged(path: Path, error: BaseException) -> str:
    folder = shlex.quote(str(path.parent))
    return (
        f"{path}: this graph cannot be read ({reason(error)}); make it again from the runs "
        f"and diffs beside it: circuitgraph -w {folder} rebuild"
    )


def _refuse_torn_page(database: str) -> None:
    """ladybug counts pages when it opens a file, but rounds a torn last page up."""
    file = Path(database)
    if file.is_file() and (file.stat().st_size % _PAGE or not file.stat().st_size):
        raise RuntimeError("it ends in the middle of a page")


NEWEST = ("TRANSFERS", "method")
"""The column that was added last: a file with it has all others, too."""


def schema() -> str:
    """The statements that make what a file lacks."""
    return resources.files("circuitgraph.store.schema").joinpath("embedded.cypher").read_text()


def has_newest_column(connection: ladybug.Connection) -> bool:
    """Whether a graph file was made, or written to, by this version."""
    table, column = NEWEST
    found = connection.execute(f"CALL table_info('{table}') RETURN name")
    assert not isinstance(found, list)
    return [column] in found.get_all()


def reason(error: BaseException) -> str:
    """ladybug's message without its list of expected tokens."""
    return first_line(Exception(re.sub(r" expecting \{[^}]*\}", "", str(error))), 2000)


def refused(connection: ladybug.Connection, cypher: str, error: BaseException) -> str:
    """Why a statement is rejected, and how to escape a reserved word."""
    word = _word_at(cypher, str(error))
    if not word or not _answers(connection, f"`{word}`") or _answers(connection, word):
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


def _answers(connection: ladybug.Connection, name: str) -> bool:
    """Whether ladybug takes a text for a name."""
    try:
        connection.execute(f"RETURN 1 AS {name}")
    except RuntimeError:
        return False
    return True
