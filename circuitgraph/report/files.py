"""Where a page goes: its name, and what may be written there."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from circuitgraph.base.errors import UsageError

BETWEEN = "-vs-"
LONGEST = 60
"""Characters of one side in a name."""
MARK = b'<meta name="generator" content="circuitgraph'
"""By which a page is known as one of ours; it stands in the first ``HEAD`` bytes."""
HEAD = 2_000


def page_name(a: str, b: str, *others: str) -> str:
    """A file name for the page of two variants, ``report-base-vs-tuned.html``.

    Parameters
    ----------
    a, b
        Names as users gave them, with anything in them.
    others
        What else parts this page from others of the pair: lens, scope.

    Notes
    -----
    Letters, digits, ``.``, ``_`` and ``-`` stay, all else becomes ``_``. Where that or the length
    changed a name, eight digits of its hash keep pages of different pairs apart.

    Examples
    --------
    >>> page_name("base", "tuned-0")
    'report-base-vs-tuned-0.html'
    >>> page_name("a/b", "c", "wiring")
    'report-a_b-vs-c+wiring+51a83b4c.html'
    """
    sides = [re.sub(r"[^A-Za-z0-9._-]", "_", name)[:LONGEST] for name in (a, b)]
    parts = [f"report-{BETWEEN.join(sides)}", *others]
    if sides != [a, b] or any(BETWEEN in f"-{name}-" for name in (a, b)):
        parts.append(hashlib.sha256(f"{a}\0{b}".encode("utf-8", "surrogatepass")).hexdigest()[:8])
    return "+".join(parts) + ".html"


def require_page(path: Path) -> None:
    """Require a path that a page can be written to, before long work.

    Raises
    ------
    UsageError
        Another ending than .html, a folder, or no folder to write to.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"-o {path}: the report is an HTML page; end the name in .html")
    if path.is_dir():
        raise UsageError(f"-o {path}: this is a folder; name a file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"-o {path}: there is no folder {path.parent}")


def require_own(path: Path) -> None:
    """Require that a name nobody chose is free, or that of an earlier page of ours.

    Raises
    ------
    UsageError
        Another file is there.
    """
    if path.is_symlink() or (path.exists() and not _is_own(path)):
        raise UsageError(
            f"{path} is there and is no page that circuitgraph wrote; name the page with -o FILE"
        )


def _is_own(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return MARK in file.read(HEAD)
