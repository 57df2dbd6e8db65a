"""Which way corruption should move the decision, and whether what was measured agrees.

The sign of a prompt is its own ``direction``; where it has none, the sign of the mean total of
its scenario in the base, written down once for the prompt set (see ``conventions``). A mean of
totals that point both ways has a sign by accident, and effects aligned by it cancel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from circuitgraph.prompts.pairs import exchanged_in_words
from circuitgraph.runs import Run

MOVED = 0.1
"""Share of the scenario's mean |total| from which on a prompt counts as moved."""
MINORITY = 0.2
"""Share of the moved prompts that go the other way from which on totals may cancel."""
ODD = 2
"""Fewer prompts that go the other way are odd ones, not a part of the scenario."""
SHOWN = 3
"""Scenarios that a message names."""
CANCELS = 0.5
"""|mean total| over mean |total| under which they do."""


def scenario_signs(scenarios: Sequence[str], totals: np.ndarray) -> dict[str, int]:
    """Sign of the mean total of every scenario; +1 where nothing moves."""
    sums: dict[str, float] = {}
    for name, total in zip(scenarios, np.asarray(totals, np.float64).tolist(), strict=True):
        sums[name] = sums.get(name, 0.0) + total
    return {name: -1 if value < 0 else 1 for name, value in sums.items()}


def cancels(values: np.ndarray) -> bool:
    """Whether numbers point both ways, so that their mean says little of any of them."""
    up, down = both_ways(values)
    size = float(np.abs(values).mean()) if len(values) else 0.0
    few = min(up, down) < max(ODD, MINORITY * (up + down))
    return size > 0 and not few and abs(float(values.mean())) < CANCELS * size


def both_ways(values: np.ndarray) -> tuple[int, int]:
    """How many numbers are clearly above 0, and how many below."""
    least = MOVED * float(np.abs(values).mean()) if len(values) else 0.0
    return int((values > least).sum()), int((values < -least).sum())


def _counts(values: np.ndarray) -> tuple[int, int]:
    return int((values > 0).sum()), int((values < 0).sum())


def notes(
    scenarios: Sequence[str],
    given: Sequence[int | None],
    totals: np.ndarray,
    others: Sequence[np.ndarray] = (),
) -> tuple[list[str], bool]:
    """What a reader must be told of the totals, and whether effects cancel in some scenario.

    They cancel where no direction keeps them apart; one that is given is taken at its word,
    and doubted only where no variant at hand follows it: an untrained base need not.

    Parameters
    ----------
    scenarios, given : of every prompt its scenario and direction, None where it has none
    totals : float [n]
        Of the base, or of the first variant measured.
    others : each float [n]
        Totals of the other variants at hand.
    """
    values = np.asarray(totals, np.float64)
    names, known = np.asarray(scenarios, dtype=object), np.array([d or 0 for d in given])
    mixed: list[str] = []
    against: dict[str, tuple[int, int]] = {}
    for name in dict.fromkeys(scenarios):
        here = names == name
        derived, told = values[here & (known == 0)], here & (known != 0)
        if cancels(derived):
            mixed.append(_undirected(name, *_counts(derived)))
        aligned = [(np.asarray(each) * known)[told] for each in (values, *others)]
        if told.any() and all(cancels(each) or _contradicts(each) for each in aligned):
            against[name] = _counts(aligned[0])
    more = [f"the same in {len(mixed) - SHOWN} more scenarios"] if len(mixed) > SHOWN else []
    return [*mixed[:SHOWN], *more, *_contradicted(against)], bool(mixed)


def exchanged_pairs(run: Run) -> list[str]:
    """What is said of pairs that stand both ways; nothing where there are none."""
    own = {run.prompts[i].scenario for i in run.observed}
    lost = {prompt.scenario for prompt in run.prompts} - own
    return exchanged_in_words(run.n - run.n_observations, lost)


def _contradicts(aligned: np.ndarray) -> bool:
    up, down = both_ways(aligned)
    return down > up and float(aligned.mean()) < 0


def _undirected(name: str, up: int, down: int) -> str:
    return (
        f"in scenario {name!r:.60} corruption raises the decision on {up} prompts and lowers it "
        f"on {down}: effects cancel; are answer and wrong_answer exchanged on some lines? give "
        "direction"
    )


def _contradicted(against: Mapping[str, tuple[int, int]]) -> list[str]:
    if not against:
        return []
    shown = ", ".join(repr(name)[:60] for name in list(against)[:SHOWN])
    more = f" and {len(against) - SHOWN} more" if len(against) > SHOWN else ""
    agree, not_so = (sum(count[i] for count in against.values()) for i in (0, 1))
    return [
        f"direction contradicts the measured totals on {not_so} of {agree + not_so} prompts of "
        f"scenario {shown}{more}: are answer and wrong_answer exchanged, or does this model not "
        "decide as you expect? direction is taken as given"
    ]
