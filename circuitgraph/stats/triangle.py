"""All pairs of components as one vector: the upper triangle, row by row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def n_pairs(size: int) -> int:
    """Number of unordered pairs of ``size`` components."""
    return size * (size - 1) // 2


def pair_codes(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the earlier and of the later component of every pair, int32 [pairs] each."""
    lengths = np.arange(size - 1, -1, -1)
    first = np.repeat(np.arange(size, dtype=np.int32), lengths)
    starts = np.cumsum(lengths) - lengths
    second = np.arange(n_pairs(size), dtype=np.int64) - np.repeat(starts, lengths) + first + 1
    return first, second.astype(np.int32)


def upper(matrix: np.ndarray) -> np.ndarray:
    """Entries above the diagonal in the order of :func:`pair_codes`."""
    return matrix[np.triu(np.ones(matrix.shape, bool), 1)]


def blocks(size: int, height: int = 256) -> Iterator[tuple[slice, slice, slice, np.ndarray]]:
    """Cut the triangle into bands of rows that fit into the cache.

    Yields rows and columns (from the first row on) of a band, the slice of its pairs in the
    vector of all pairs, and the band's entries above the diagonal (bool [rows × columns]).
    """
    done = 0
    for start in range(0, size, height):
        stop = min(start + height, size)
        mask = np.triu(np.ones((stop - start, size - start), bool), 1)
        many = int(mask.sum())
        yield slice(start, stop), slice(start, size), slice(done, done + many), mask
        done += many
