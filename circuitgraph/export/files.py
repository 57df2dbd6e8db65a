"""Files that appear under their name only when whole."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from circuitgraph.base.errors import InputError


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    """Write text in UTF-8 to a file beside ``path``, then rename it.

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
    """Write files that mean something only together: renamed when all are whole.

    Parameters, errors: as for :func:`write_lines`.
    """
    partials: dict[Path, Path] = {}
    try:
        for path, lines in files:
            partials[path] = path.with_name(f".{path.name}.{os.getpid()}.partial")
            _write(partials[path], lines)
        for path, partial in partials.items():
            os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
    return list(partials)


def _write(partial: Path, lines: Iterable[str]) -> None:
    with open(partial, "w", encoding="utf-8", newline="") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
