"""Atomic writing of files."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Context with a temporary path whose file replaces ``path`` at the end.

    Raises
    ------
    OSError
        Naming ``path``; whatever was there before is still there.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        sync(partial)
        os.replace(partial, path)
    except OSError as error:  # a full disk names no file
        why = error.strerror if error.filename else os.strerror(error.errno or errno.EIO)
        raise OSError(error.errno, why, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file atomically; raises as :func:`whole`."""
    with whole(path) as partial:
        partial.write_bytes(data)


def sync(path: Path) -> None:
    """Make a file's contents, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
