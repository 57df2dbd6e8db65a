"""Atomic writing of text files."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from circuitgraph.base.atomic import sync, whole
from circuitgraph.base.errors import InputError


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    """Write UTF-8 text atomically.

    Parameters
    ----------
    path
        Where the file goes; one already there is replaced in one step.
    lines
        Text with its own line ends; taken one by one, so large graphs need no memory.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    InputError
        The file cannot be written (no such folder, no right, disk full). Whatever was
        under that name before is still there.
    """
    return write_together([(path, lines)])[0]


def write_together(files: Iterable[tuple[Path, Iterable[str]]]) -> list[Path]:
    """Write several files, renamed when all are complete.

    Parameters, errors: as for :func:`write_lines`.
    """
    written: list[Path] = []
    try:
        with ExitStack() as together:
            for path, lines in files:
                partial = together.enter_context(whole(path))
                with open(partial, "w", encoding="utf-8", newline="") as file:
                    file.writelines(lines)
                sync(partial)  # before any of them is renamed
                written.append(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return written
