"""Line up runs: same method, same prompts, same columns; duplicates collapsed.

Prompts that repeat count once, and so do replicates with equal weights: training that was
run twice to the same result says nothing about its spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuitgraph.base.components import Edge, in_order, natural_key
from circuitgraph.base.errors import InputError, UsageError, quoted
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.runs.aligned import Observations
from circuitgraph.runs.comparable import incomparable, require_comparable
from circuitgraph.runs.record import Run
from circuitgraph.stats.evidence import distinct_rows
from circuitgraph.stats.scenarios import recode


@dataclass(frozen=True)
class Matched:
    """Arrays of two groups of runs with equal rows and equal columns.

    Attributes
    ----------
    runs_a, runs_b : tuple of Run
    a, b : tuple of float [n × columns]
        One array a run; NaN in a column the run lacks.
    components : tuple of str
        Columns of correlation runs, in order of computation.
    edges : tuple of Edge
        Columns of effect runs.
    missing : bool [columns]
        Whether some run lacks the column.
    prompts : tuple of RunPrompt
        The distinct prompts, one a row.
    scenarios : int [n]
        Codes 0 … S−1.
    rows : int [n]
        The rows of ``runs_a[0]`` that were kept.
    duplicates : int
        Prompts left out because an equal one is in.
    named : (int, int)
        Variants named by each side; replicates with equal weights are one run.
    equals : tuple of tuples of str
        Names of variants with equal weights.
    seen : Observations, optional
        Of effects: the signs, and which prompts are one observation (their mean is in a and b).
    """

    runs_a: tuple[Run, ...]
    runs_b: tuple[Run, ...]
    a: tuple[np.ndarray, ...]
    b: tuple[np.ndarray, ...]
    components: tuple[str, ...]
    edges: tuple[Edge, ...]
    missing: np.ndarray
    prompts: tuple[RunPrompt, ...]
    scenarios: np.ndarray
    rows: np.ndarray
    duplicates: int
    named: tuple[int, int] = (1, 1)
    equals: tuple[tuple[str, ...], ...] = ()
    seen: Observations | None = None

    @property
    def observations(self) -> Observations:
        """Signs and observations of effect runs; ``UsageError`` for correlation runs."""
        if self.seen is None:
            raise UsageError("correlation runs have no effects to align")
        return self.seen

    def collapsed(self, values: np.ndarray, axis: int = 0) -> np.ndarray:
        """Unsigned numbers of all prompts, averaged over prompts that are one observation."""
        return values if self.seen is None else self.seen.mean(values, axis)

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, side A first."""
        return self.runs_a + self.runs_b

    @property
    def n(self) -> int:
        """Number of distinct prompts."""
        return len(self.prompts)

    @property
    def n_scenarios(self) -> int:
        """Number of scenarios."""
        return int(self.scenarios.max()) + 1 if self.n else 0

    @property
    def n_effective(self) -> int:
        """Prompts beyond scenarios: the degrees of freedom."""
        return self.n - self.n_scenarios

    def variants(self, of_a: Sequence[int], of_b: Sequence[int]) -> Matched:
        """Some variants of side A against some of side B, on the same rows and columns."""
        return replace(
            self,
            runs_a=tuple(self.runs_a[i] for i in of_a),
            runs_b=tuple(self.runs_b[i] for i in of_b),
            a=tuple(self.a[i] for i in of_a),
            b=tuple(self.b[i] for i in of_b),
        )


def match_runs(a: Sequence[Run], b: Sequence[Run], kind: str, *, lens: str = "") -> Matched:
    """Line up the runs of two sides.

    Parameters
    ----------
    kind : {"correlation", "effect"}
        What all of them must hold.
    lens : str
        Named in the message; by default ``kind``.

    Raises
    ------
    UsageError
        A method key or the prompts differ (the message says which), a run is listed twice on one
        side, or the sides overlap without being the same.
    InputError
        The same activities appear in two scenarios.
    """
    _check_sides(a, b)
    _require_alike((*a, *b), kind, lens or kind)
    named = len(a), len(b)
    (a, equal_a), (b, equal_b) = replicates(a), replicates(b)
    runs = (*a, *b)
    rows = [_rows_like(runs[0], run) for run in runs]
    arrays, components, edges, missing = _columns(runs)
    aligned = [array[order] for array, order in zip(arrays, rows, strict=True)]
    seen = Observations.of_run(runs[0]) if runs[0].kind == "effect" else None
    kept, duplicates = _distinct(runs, aligned) if seen is None else (seen.first, 0)
    prompts = tuple(runs[0].prompts[i] for i in kept)
    if seen is not None:
        aligned = [seen.raw(array) for array in aligned]
    elif duplicates:
        aligned = [array[kept] for array in aligned]
    return Matched(
        runs_a=tuple(a),
        runs_b=tuple(b),
        a=tuple(aligned[: len(a)]),
        b=tuple(aligned[len(a) :]),
        components=components,
        edges=edges,
        missing=missing,
        prompts=prompts,
        scenarios=recode(runs[0].scenarios[kept]),
        rows=kept,
        duplicates=duplicates if _is_table(runs[0]) else max(run.duplicates for run in runs),
        named=named,
        equals=equal_a + equal_b,
        seen=seen,
    )


def _is_table(run: Run) -> bool:
    return run.method.granularity == "table"


def _check_sides(a: Sequence[Run], b: Sequence[Run]) -> None:
    if not a or not b:
        raise UsageError("each side of a diff needs at least one run")
    ids_a, ids_b = {run.id for run in a}, {run.id for run in b}
    if len(ids_a) < len(a) or len(ids_b) < len(b):
        raise UsageError("a run is listed twice on one side of the diff; name each variant once")
    if ids_a & ids_b and ids_a != ids_b:
        shared = next(run.variant.name for run in a if run.id in ids_b)
        raise UsageError(f"{quoted(shared)} is on both sides of the diff; name it on one")


def replicates(side: Sequence[Run]) -> tuple[Sequence[Run], tuple[tuple[str, ...], ...]]:
    """One run for each set of weights (in tables: of values), and the names of equal ones."""
    groups: dict[str, list[Run]] = {}
    for run in side:
        groups.setdefault(run.variant.fingerprint or run.id, []).append(run)
    if len(groups) == len(side):
        return side, ()
    alike = [
        sorted(group, key=lambda run: natural_key(run.variant.name)) for group in groups.values()
    ]
    names = (tuple(run.variant.name for run in group) for group in alike)
    return [group[0] for group in alike], tuple(name for name in names if len(name) > 1)


def _require_alike(runs: Sequence[Run], kind: str, lens: str) -> None:
    for run in runs:
        if run.kind != kind:
            raise UsageError(
                f"the {lens} lens needs {kind} runs, but the run of "
                f"{quoted(run.variant.name)} holds {run.kind} edges"
            )
    require_comparable(runs)


def _rows_like(first: Run, run: Run) -> np.ndarray:
    """Rows of ``run`` in the order of the prompts of ``first``."""
    if not _is_table(run):
        return _rows_by_tokens(first, run)
    place = {prompt.id: i for i, prompt in enumerate(run.prompts)}
    wanted = {prompt.id for prompt in first.prompts}
    if len(place) < run.n:
        raise InputError(f"a prompt id appears twice in {quoted(run.variant.name)}")
    if odd := sorted(wanted.symmetric_difference(place)):
        raise _other_prompts(first, run, f"{len(odd)} ids are in one only, as {quoted(odd[0])}")
    rows = np.array([place[prompt.id] for prompt in first.prompts], dtype=int)
    for prompt, row in zip(first.prompts, rows, strict=True):
        if prompt.scenario != run.prompts[row].scenario:
            raise _other_prompts(first, run, f"the scenario of {quoted(prompt.id)} is not the same")
    return rows


def _rows_by_tokens(first: Run, run: Run) -> np.ndarray:
    """The same for prompts that a model read: rows are ordered by the text that the run's own
    tokenizer makes of its tokens, and another tokenizer may make another text of them."""
    wanted, have = ([(p.tokens, p.scenario) for p in r.prompts] for r in (first, run))
    if wanted == have or any(tokens is None for tokens, _ in have):
        return np.arange(run.n)
    place = {key: i for i, key in enumerate(have)}
    return np.array([place[key] for key in wanted], dtype=int)


def _other_prompts(first: Run, run: Run, why: str) -> UsageError:
    return incomparable(first.variant, run.variant, f"their runs differ in prompts ({why})")


def _columns(
    runs: Sequence[Run],
) -> tuple[list[np.ndarray], tuple[str, ...], tuple[Edge, ...], np.ndarray]:
    """Arrays with the union of all columns, in one order."""
    nodes = runs[0].kind == "correlation"
    owned: list[tuple] = [run.components if nodes else run.edges for run in runs]
    keys = tuple(dict.fromkeys(key for own in owned for key in own))
    if nodes:
        keys = tuple(in_order(keys))
    arrays = [run.activity if nodes else run.effects for run in runs]
    filled = [_reorder(array, own, keys) for array, own in zip(arrays, owned, strict=True)]
    everywhere = set(keys).intersection(*owned)
    missing = np.array([key not in everywhere for key in keys], bool)
    return filled, keys if nodes else (), () if nodes else keys, missing


def _reorder(array: np.ndarray, have: tuple, want: tuple) -> np.ndarray:
    if have == want:
        return array
    place = {key: i for i, key in enumerate(have)}
    columns = np.array([place.get(key, -1) for key in want], dtype=int)
    out = array[:, columns].copy()
    out[:, columns < 0] = np.nan
    return out


def _distinct(runs: Sequence[Run], arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
    """Rows to keep and how many were dropped; model runs were collapsed at ingest."""
    if not _is_table(runs[0]):
        return np.arange(runs[0].n), 0
    first_like = distinct_rows(np.hstack(arrays))
    prompts = runs[0].prompts
    for row, twin in enumerate(first_like):
        if prompts[row].scenario != prompts[twin].scenario:
            raise InputError(
                f"prompts {quoted(prompts[twin].id)} and {quoted(prompts[row].id)} have the same "
                "activities but different scenarios; give duplicates one scenario"
            )
    kept = np.unique(first_like)
    return kept, len(first_like) - len(kept)
