"""Long work in batches that are kept as they come, so that an interruption costs one.

Batches have fixed boundaries and a fixed order, hence an interrupted ingest ends with
the very bits of an uninterrupted one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from circuitgraph.progress import Progress

Arrays = Mapping[str, np.ndarray]


def in_parts(
    batches: Sequence[Sequence[int]],
    compute: Callable[[Sequence[int]], Arrays],
    folder: Path,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Compute every batch that is not in ``folder`` yet, then put all rows in place.

    Args:
        batches: row numbers of each batch; together every row once.
        compute: arrays of a batch, first axis its rows.
        folder: where finished batches wait; removed by the caller when all is written.

    Returns:
        Whole arrays, rows in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(batches):
        file = folder / f"{number:06d}.safetensors"
        if not file.exists():
            _write(file, compute(rows))
        progress.advance(len(rows))
    return _assemble(batches, folder)


def _write(file: Path, arrays: Arrays) -> None:
    partial = file.with_suffix(f".{os.getpid()}.partial")
    save_file({k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items()}, partial)
    with open(partial, "rb") as handle:
        os.fsync(handle.fileno())
    os.replace(partial, file)


def _assemble(batches: Sequence[Sequence[int]], folder: Path) -> dict[str, np.ndarray]:
    total = sum(map(len, batches))
    whole: dict[str, np.ndarray] = {}
    for number, rows in enumerate(batches):
        for key, part in load_file(folder / f"{number:06d}.safetensors").items():
            whole.setdefault(key, np.empty((total, *part.shape[1:]), np.float32))[rows] = part
    return whole


def discard(runs_folder: Path, run: str) -> None:
    """Forget the batches of a finished run, and what killed processes left of it."""
    for left in runs_folder.glob(f".{run}.*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
