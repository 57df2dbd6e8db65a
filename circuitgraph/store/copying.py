"""Resumable copy of a graph from one store to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from circuitgraph.store.protocol import Store
from circuitgraph.store.reading import count_transfers, read_diff, read_run, read_transfers
from circuitgraph.store.tables import GraphTables

_GROUP = 200_000
"""Relationships written in one go: the embedded store copies its file once for them."""


@dataclass(frozen=True)
class Copied:
    """Counts of one copy.

    Attributes
    ----------
    runs, diffs : int
        Runs and diffs written.
    edges : int
        Their relationships.
    there : int
        Runs, diffs and transfers that the target held already; they were left alone.
    transfers : int
        Directions of cross-model patches written.
    """

    runs: int
    diffs: int
    edges: int
    there: int
    transfers: int = 0


def copy_graph(
    source: Store, target: Store, advance: Callable[[int], None] = lambda _: None
) -> Copied:
    """Copy all runs, diffs and transfers that the target lacks.

    Each appears in the target whole or not at all; after an interruption the same call
    goes on with those that are missing, and a second call writes nothing.

    Parameters
    ----------
    source, target : Store
        Any two stores.
    advance : callable
        Told how many runs and diffs have just been written.

    Returns
    -------
    Copied
    """
    target.write_all([])  # what a bulk import left without constraints gets them now
    runs, diffs, transfers = source.run_ids(), source.diff_ids(), source.transfers()
    there = {*target.run_ids(), *target.diff_ids()}
    new_runs = [run for run in runs if run not in there]
    new_diffs = [diff for diff in diffs if diff not in there]
    known = count_transfers(target.query)
    more = count_transfers(source.query)
    new_transfers = {pair for pair in transfers if more[pair] > known.get(pair, 0)}
    edges = _write(target, (read_run(source.query, run) for run in new_runs), advance)
    edges += _write(target, (read_diff(source.query, diff) for diff in new_diffs), advance)
    # New runs came with theirs; these are of runs that were there before.
    late = sorted(pair for pair in new_transfers if pair[0] not in new_runs)
    edges += _write(target, (read_transfers(source.query, pair) for pair in late), replace=True)
    old = len(runs) + len(diffs) + len(transfers)
    old -= len(new_runs) + len(new_diffs) + len(new_transfers)
    return Copied(len(new_runs), len(new_diffs), edges, old, len(new_transfers))


def _write(
    target: Store,
    parts: Iterator[GraphTables],
    advance: Callable[[int], None] = lambda _: None,
    replace: bool = False,
) -> int:
    total = 0
    for group in _groups(parts):
        target.write_all(group, replace=replace)
        total += sum(map(_size, group))
        advance(len(group))
    return total


def _groups(parts: Iterator[GraphTables]) -> Iterator[Sequence[GraphTables]]:
    """Batches of small parts."""
    group: list[GraphTables] = []
    for part in parts:
        if group and sum(map(_size, group)) + _size(part) > _GROUP:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _size(part: GraphTables) -> int:
    return sum(map(len, part.rels.values()))
