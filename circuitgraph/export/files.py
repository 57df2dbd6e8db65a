"""Target files of exported graphs, and their atomic writing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from circuitgraph.base.atomic import sync, whole
from circuitgraph.base.components import digest
from circuitgraph.base.errors import InputError, UsageError, quoted


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


def targets(names: Sequence[str], format: str, path: Path) -> list[Path]:
    """Path of each name: ``path`` for one, files (csv: folders) in it for several.

    File names are made of the letters and digits of a name; no user text decides where
    a file lands.

    Raises
    ------
    UsageError
        Several names, and a path that names one file.
    """
    if len(names) == 1:
        return [path]
    if path.suffix.lower() in ENDINGS and not path.is_dir():
        raise UsageError(
            f"{quoted(path.name, 80)} is a name for one file, and {len(names)} graphs are asked "
            "for; name a folder, or ask for the diff of two as one name, A:B"
        )
    path.mkdir(parents=True, exist_ok=True)
    suffix = "" if format == "csv" else f".{SUFFIXES.get(format, format)}"
    stems = [file_stem(name) for name in names]
    alike = [stems.count(stem) > 1 for stem in stems]
    return [
        path / (f"{stem}-{digest(name)[:8]}{suffix}" if twice else f"{stem}{suffix}")
        for name, stem, twice in zip(names, stems, alike, strict=True)
    ]


SUFFIXES = {"mib": "json", "neuronpedia": "json"}
"""Endings of files that are not named after their format."""
ENDINGS = {".gexf": "gexf", ".graphml": "graphml", ".cx2": "cx2"}


def format_of(path: Path) -> str:
    """The format that a file's ending names.

    Raises
    ------
    UsageError
        The ending is of no format, or of several.
    """
    found = ENDINGS.get(path.suffix.lower())
    if found is None:
        known = ", ".join(ENDINGS)
        raise UsageError(f"``format``: {quoted(path.name, 80)} ends in none of {known}; name it")
    return found


def file_stem(name: str) -> str:
    """A safe file name similar to the given name."""
    stem = re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_-")[:60]
    return stem or digest(name)[:12]
