"""Long work in batches that are kept, so that an interruption costs one.

Batches have fixed boundaries and a fixed order, hence an interrupted ingest ends bit for bit
like an uninterrupted one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from circuitgraph.base.atomic import whole
from circuitgraph.base.progress import Progress
from circuitgraph.base.wellformed import save_arrays

Arrays = Mapping[str, np.ndarray]


def in_parts(
    batches: Sequence[Sequence[int]],
    compute: Callable[[Sequence[int]], Arrays],
    folder: Path,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Compute every batch that is not in ``folder`` yet; whole arrays, rows in order.

    Parameters
    ----------
    batches : sequence of sequences of int
        Row numbers of each batch; together every row once.
    compute : callable
        Arrays of a batch, first axis its rows.
    folder : path
        Of finished batches; removed by the caller.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(batches):
        if not part(folder, number).exists():
            write_part(folder, number, compute(rows))
        progress.advance(len(rows))
    return assemble(batches, folder)


def part(folder: Path, number: int) -> Path:
    """The file of one finished batch."""
    return folder / f"{number:06d}.safetensors"


def write_part(folder: Path, number: int, arrays: Arrays) -> None:
    """Keep a finished batch, atomically."""
    plain = {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items()}
    with whole(part(folder, number)) as partial:
        save_arrays(plain, partial)


def assemble(batches: Sequence[Sequence[int]], folder: Path) -> dict[str, np.ndarray]:
    """Whole arrays of finished batches, rows in order."""
    total = sum(map(len, batches))
    arrays: dict[str, np.ndarray] = {}
    for number, rows in enumerate(batches):
        for key, own in load_file(part(folder, number)).items():
            arrays.setdefault(key, np.empty((total, *own.shape[1:]), np.float32))[rows] = own
    return arrays


def discard(runs_folder: Path, run: str) -> None:
    """Remove the batches of a finished run, and leftovers of killed processes."""
    for left in runs_folder.glob(f".{run}.*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
