"""What the commands in a page of the docs print, for the tests and to write it there again.

In a ``console`` block a line that begins with ``$`` is a command; what follows, to the next one,
is what it prints: data, then remarks. A line with ``…`` alone stands for lines left out.

    python tests/docs_output.py docs/tutorial.md    # writes the outputs anew
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

from shell import IPD, cli

WIDTH = "100"
LEFT_OUT = "…"
HASH = re.compile(r"\b[0-9a-f]{12}\b")
BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)


def steps(block: str) -> Iterator[tuple[str, list[str]]]:
    """Every command of a block, and the lines it is said to print."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *lines = part.replace("\\\n", "").rstrip("\n").split("\n")
        yield command, lines


def printed(command: str) -> list[str]:
    """What a command prints: data, then remarks."""
    program, *words = shlex.split(command)
    assert program == "circuitgraph", command
    answer = cli(*words)
    assert answer.code in (0, 3), answer.err
    return (answer.out + answer.err).rstrip("\n").split("\n")


def agrees(told: list[str], lines: list[str]) -> bool:
    """Whether the lines are those told, where ``…`` stands for any.

    Ids rest on the last digits of merged weights, which differ between machines.
    """
    told, lines = ([HASH.sub("ID", line) for line in part] for part in (told, lines))
    parts = [re.escape(line) if line != LEFT_OUT else r"[^\0]*?" for line in told]
    return re.fullmatch("\n".join(parts), "\n".join(lines)) is not None


def fresh(folder: Path) -> None:
    """A folder in which the commands run: the example models, no workspace."""
    (folder / "ipd").symlink_to(IPD)
    os.environ["COLUMNS"] = WIDTH


def rewritten(text: str) -> str:
    """A page with the outputs of now; blocks with something left out keep their lines."""

    def again(block: re.Match[str]) -> str:
        found = []
        for part in re.split(r"^(?=\$ )", block[0], flags=re.MULTILINE)[1:]:
            [(command, told)] = steps(part)
            lines = printed(command)
            keep = LEFT_OUT in told and agrees(told, lines)
            shown = part.split("\n")[: part.count("\\\n") + 1]
            found.append("\n".join([*shown, *(told if keep else lines)]) + "\n")
        return "".join(found)

    return BLOCK.sub(again, text)


if __name__ == "__main__":
    page = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as place, chdir(place):
        fresh(Path(place))
        page.write_text(rewritten(page.read_text("utf-8")), "utf-8")
