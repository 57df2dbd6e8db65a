"""Atomic replacement of a file: writers work on a private copy and rename it.

ladybug's own recovery is not enough: killed while it writes a checkpoint, ladybug 0.22
came back with the deletions of a transaction but without its bulk copies. So the graph
file itself is never opened for writing. A kill at any time leaves the old graph or the
new one, and readers never wait.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from circuitgraph.base.atomic import sync
from circuitgraph.base.errors import InputError, StoreUnreachable
from circuitgraph.base.progress import human_bytes

_FIRST = 4 << 20
"""Bytes for an empty graph, with the log of what is written."""

_ROW = 300
"""Bytes for one node or relationship; 10 to 140 were measured."""

_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


@contextlib.contextmanager
def replacing(path: Path, timeout: float, *, anew: bool = False, rows: int = 0) -> Iterator[Path]:
    """Context with a copy of a file that replaces it on success.

    Parameters
    ----------
    path : Path
        The file; need not exist (then the copy does not either).
    timeout : float
        Seconds to wait for another writer.
    anew : bool
        Lend no copy but a new name: what is there now, damaged or not, is replaced.
    rows : int
        Nodes and relationships that are going to be written.

    Raises
    ------
    StoreUnreachable
        Another process was still writing after ``timeout``.
    InputError
        The file system refuses (no space, no permission).
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock"), timeout=timeout):
            _remove(partial)
            try:
                _require_room(path, rows, copied=not anew)
                for name, copy in () if anew else _names(path, partial):
                    if name.exists():
                        shutil.copyfile(name, copy)
                yield partial
                _settle(partial, path)
            finally:
                _remove(partial)
    except Timeout as error:
        raise StoreUnreachable(
            f"{path}: another process has been writing this graph for {timeout:g} s; "
            "try again when it is done"
        ) from error
    except OSError as error:
        raise InputError(
            f"{path}: the graph cannot be written ({error.strerror or error})"
        ) from error


def _names(path: Path, partial: Path) -> list[tuple[Path, Path]]:
    """The file, and the log another program leaves when it is killed while writing."""
    if not path.exists():
        return []
    return [(path, partial), (Path(f"{path}.wal"), Path(f"{partial}.wal"))]


def _require_room(path: Path, rows: int, *, copied: bool) -> None:
    """Check the free disk space a write needs: ladybug aborts on a full disk.

    A copy is written, and at worst every page of it once more.
    """
    old = path.stat().st_size if copied and path.exists() else 0
    size = 2 * old + rows * _ROW + _FIRST
    taken = path.with_name(path.name + ".partial.room")
    try:
        if hasattr(os, "posix_fallocate"):
            with open(taken, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
            return
        full = shutil.disk_usage(path.parent).free < size
    except OSError as error:
        full = error.errno in _FULL
        if not full and error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        taken.unlink(missing_ok=True)
    if full:
        why = f"no space: with a copy to work on it takes {human_bytes(size)} for a moment"
        raise OSError(errno.ENOSPC, why)


def _settle(partial: Path, path: Path) -> None:
    sync(partial)
    for left in _beside(path):
        left.unlink(missing_ok=True)
    os.replace(partial, path)
    sync(path.parent)


def _beside(path: Path) -> list[Path]:
    """Logs and shadow files of the old file, to be removed."""
    ours = (f"{path.name}.lock", f"{path.name}.partial")
    found = path.parent.glob(f"{path.name}.*")
    return [file for file in found if not file.name.startswith(ours)]


def _remove(partial: Path) -> None:
    """Remove a copy and the logs beside it, left by a writer that was killed."""
    for file in partial.parent.glob(partial.name + "*"):
        file.unlink(missing_ok=True)
