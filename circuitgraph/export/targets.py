"""Target files of exported graphs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from circuitgraph.base.components import digest
from circuitgraph.base.errors import UsageError, quoted


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
    json = format in ("mib", "neuronpedia")
    suffix = "" if format == "csv" else ".json" if json else f".{format}"
    stems = [file_stem(name) for name in names]
    alike = [stems.count(stem) > 1 for stem in stems]
    return [
        path / (f"{stem}-{digest(name)[:8]}{suffix}" if twice else f"{stem}{suffix}")
        for name, stem, twice in zip(names, stems, alike, strict=True)
    ]


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
