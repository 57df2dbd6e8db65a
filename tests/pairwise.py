"""Which cases of a product run when: a choice in ``make test``, more in CI, all in the slow tests.

Of products of three and more parameters each two values meet before the slow tests.

Faults that need three values at once are rare beside those that need two (Kuhn, Wallace & Gallo
2004, Software fault interactions and implications for software testing, IEEE TSE 30).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import pytest

Pairs = set[tuple[str, ...]]


def rest_is_slow(items: Sequence[pytest.Item]) -> None:
    """Of each test marked ``pairwise``, what adds no pair of values is marked ``slow``."""
    for product in _products(items, "pairwise"):
        kept = covering([_pairs(item.callspec.params) for item in product])  # type: ignore[attr-defined]
        _mark_others(product, kept, pytest.mark.slow)


def rest_is_thorough(items: Sequence[pytest.Item]) -> None:
    """Of each test marked ``some(n)``, all but n cases, evenly spread, are marked ``thorough``."""
    fast = [item for item in items if not item.get_closest_marker("slow")]
    for cases in _products(fast, "some"):
        count = cases[0].get_closest_marker("some").args[0]  # type: ignore[union-attr]
        _mark_others(cases, spread(len(cases), count), pytest.mark.thorough)


def _products(items: Sequence[pytest.Item], mark: str) -> list[list[pytest.Item]]:
    """The cases of every test with a mark."""
    found: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker(mark) and hasattr(item, "callspec"):
            found[item.nodeid.partition("[")[0]].append(item)
    return list(found.values())


def _mark_others(cases: Sequence[pytest.Item], kept: set[int], mark: pytest.MarkDecorator) -> None:
    for number, item in enumerate(cases):
        if number not in kept:
            item.add_marker(mark)


def spread(size: int, count: int) -> set[int]:
    """So many of ``range(size)``, from the first to the last, evenly; CI runs what is left out."""
    steps = min(count, size)
    return {round(i * (size - 1) / max(steps - 1, 1)) for i in range(steps)}


def covering(offers: Sequence[Pairs]) -> set[int]:
    """Which of some sets to take so that they hold what all hold; greedy, first come first."""
    missing, taken = set().union(*offers), set()
    while missing:
        best = max(range(len(offers)), key=lambda number: len(offers[number] & missing))
        taken.add(best)
        missing -= offers[best]
    return taken


def _pairs(params: dict[str, object]) -> Pairs:
    values = [(name, repr(value)) for name, value in sorted(params.items())]
    return {(*a, *b) for a, b in combinations(values, 2)} or set(values)
