"""Diffs of runs at hand, asked with all options in one row, and models that are given.

``exactly``, ``channels`` and ``base_of`` stand in for the models behind the runs: they answer
what a lens would load them for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from circuitgraph import diff
from circuitgraph.base.progress import Reporter
from circuitgraph.diff import Diff, ManyDiff
from circuitgraph.diff.mechanism import with_mechanism as measured
from circuitgraph.lenses.base import Lens, Models
from circuitgraph.lenses.effect.lens import Effect
from circuitgraph.lenses.mechanism import measure as mechanism
from circuitgraph.lenses.registry import lens_named
from circuitgraph.lenses.wiring.lens import Wiring
from circuitgraph.runs.record import Run

OWN = ("scale", "rank", "form", "shared_basis")


def taken(options: dict[str, Any]) -> dict[str, Any]:
    """The options of lenses, taken out of all options."""
    return {name: options.pop(name) for name in OWN if name in options}


def compare_runs(
    a: Sequence[Run],
    b: Sequence[Run],
    *,
    lens: str,
    exactly: Callable | None = None,
    channels: Callable | None = None,
    base_of: Callable | None = None,
    **options: Any,
) -> Diff:
    asked = lens_named(lens, taken(options))
    if exactly or channels:
        asked = given(asked, exactly, channels, base_of)
        options["models"] = Models(Reporter(quiet=True))
    return diff.compare_runs(a, b, lens=asked, **options)


def compare_many(base: tuple, others: Sequence[tuple], *, lens: str, **options: Any) -> ManyDiff:
    return diff.compare_many(base, others, lens=lens_named(lens, taken(options)), **options)


def given(
    lens: Lens, exactly: Callable | None, channels: Callable | None, base_of: Callable | None
) -> Lens:
    """The lens with answers in the place of models."""

    class GivenEffect(Effect):
        def exact(self, run: Run, columns: Sequence[int], models: Models) -> Any:
            return exactly(run, columns)

    class GivenWiring(Wiring):
        def channels(self, a: Run, b: Run, models: Models | None, **more: Any) -> Any:
            return channels(a, b, **more)

        def base_of(self, a: Sequence[Run], b: Sequence[Run], models: Models | None) -> Run:
            return base_of(a, b)

    if isinstance(lens, Wiring):
        return GivenWiring(lens.form, lens.shared_basis)
    return GivenEffect(lens.scale)


def with_mechanism(found: Diff, measure: Callable, **options: Any) -> Diff:
    """The diff with its mechanism as ``measure`` tells it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mechanism, "mechanisms_of", lambda a, b, edges, *_: measure(a, b, edges))
        return measured(found, Models(Reporter()), **options)
