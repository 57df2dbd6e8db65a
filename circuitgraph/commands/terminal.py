"""What a terminal gets and a pipe does not: lines that fit, colours."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from typing import IO, Any

import click

from circuitgraph.commands.typed import in_flags

READABLE = 100
"""Characters of a line of prose."""
NEXT = "next: "
"""How a line begins that is to be copied, and is therefore never broken."""
COLOURS = {"rewired": "yellow", "sign_flip": "magenta", "gained": "green", "lost": "red"}
_BREAKS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
_VERDICT = re.compile(rf"(?<=  )({'|'.join(COLOURS)})(?=  |$)", re.MULTILINE)
_LABEL = re.compile(r"(?:warning|next): ")


def width() -> int:
    """Columns of the terminal; 120 where there is none."""
    return shutil.get_terminal_size((120, 40)).columns


def coloured(stream: IO[str]) -> bool:
    """Whether colours are wanted: on a terminal that has them, unless ``NO_COLOR`` is set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not plain


def painted(text: str, stream: IO[str], **style: Any) -> str:
    """A text in a style of ``click.style`` where colours are wanted."""
    return click.style(text, **style) if coloured(stream) else text


def fitted(line: str, stream: IO[str]) -> str:
    """A sentence broken to fit where somebody reads, whole in a pipe."""
    if not stream.isatty() or line.startswith(NEXT):
        return line
    return textwrap.fill(line, min(width(), READABLE), subsequent_indent="  ", **_BREAKS)


def remarked(text: str) -> str:
    """A remark of the library as it is put on stderr."""
    line = fitted(in_flags(text), sys.stderr)
    label = _LABEL.match(line)
    if label is None:
        return line
    return painted(label[0], sys.stderr, bold=True) + line[label.end() :]


def with_verdicts(table: str) -> str:
    """A table for stdout, the verdicts of claims coloured."""
    if not coloured(sys.stdout):
        return table
    return _VERDICT.sub(lambda found: click.style(found[0], fg=COLOURS[found[0]]), table)
