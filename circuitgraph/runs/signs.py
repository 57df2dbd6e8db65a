"""Signs of prompts, and whether measured totals agree with them.

The sign of a prompt is its own ``direction``; without one, the sign of the mean total of its
scenario in the base, recorded once for the prompt set (see ``conventions``). Where totals have
both signs their mean's sign is accidental, and signed effects cancel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from circuitgraph.base.errors import quoted
from circuitgraph.prompts.pairs import exchanged_in_words
from circuitgraph.runs.record import Run

MOVED = 0.1
"""Share of the scenario's mean |total| from which on a prompt counts as moved."""
MINORITY = 0.2
"""Share of the moved prompts that go the other way from which on totals may cancel."""
ODD = 2
"""Fewer prompts that go the other way are odd ones, not a part of the scenario."""
SHOWN = 3
"""Scenarios that a message names."""
# Simulated with totals of mean 1 and sd 0.7. One scenario of 24 lines: honest ones are flagged in
# 0.0% of 2,000 draws (10 lines: 0.9%, sd 1: 3%), with 5 lines exchanged in 74%, with 6 in 90%, with
# 8 in 99.6%; at 0.5 it were 29%, 57% and 92%.
CANCELS = 0.65
"""|mean total| over mean |total| under which they do."""
# The same over small scenarios, 1,000 draws: honest ones 0.0% (40 scenarios of 3, 20 of 3), 0.3%
# (20 of 2), 0.6% (5 of 3); every second line exchanged 99% (5 of 3) to 100%.
TOGETHER = 0.5
"""The same for agreement with the rest of the scenario, over all scenarios."""
FEW = 10
"""Prompts under which a scenario is judged with others too."""
CLEAR = 0.8
"""From which on a variant goes one way: where one does, no line was exchanged."""
BEYOND = 2.0
"""Standard errors from which on a mean is not noise."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one observation, and their signs relative to its first row.

    Attributes
    ----------
    first : int [n]
        The first row of each observation.
    of : int [rows]
        The observation of every row.
    turn : float64 [rows]
        −1 where a row is exchanged as against the first of its observation.
    """

    first: np.ndarray
    of: np.ndarray
    turn: np.ndarray

    @classmethod
    def by_pair(cls, pairs: Iterable[tuple[str | None, int]]) -> Rows:
        """Of pairs and ways; a row without a pair is an observation of its own."""
        places: dict[str | int, int] = {}
        known = list(pairs)
        keys = (pair or i for i, (pair, _) in enumerate(known))
        of = np.array([places.setdefault(key, len(places)) for key in keys], dtype=int)
        first = np.unique(of, return_index=True)[1]
        own = np.array([way for _, way in known], float)
        return cls(first, of, own * own[first][of])

    @classmethod
    def of_run(cls, run: Run) -> Rows:
        return cls.by_pair((prompt.pair, prompt.way) for prompt in run.prompts)

    def turned(self, totals: np.ndarray) -> np.ndarray:
        """Mean of each observation's rows, with the sign of its first one [n]."""
        values = self.turn * np.asarray(totals, np.float64)
        return np.bincount(self.of, values) / np.bincount(self.of)


def conditions_of(run: Run) -> tuple[list[str], list[int | None]]:
    """Scenario and direction of every observation of a run."""
    first = [run.prompts[i] for i in run.observed]
    return [prompt.scenario for prompt in first], [prompt.direction for prompt in first]


def signs_of(run: Run, totals: np.ndarray) -> dict[str, int]:
    """Sign of every scenario's mean total, for totals of the prompts of a run; +1 where it is 0."""
    sums: dict[str, float] = {}
    scenarios, _ = conditions_of(run)
    for name, total in zip(scenarios, Rows.of_run(run).turned(totals).tolist(), strict=True):
        sums[name] = sums.get(name, 0.0) + total
    return {name: -1 if value < 0 else 1 for name, value in sums.items()}


def cancels(values: np.ndarray) -> bool:
    """Whether numbers of both signs make their mean meaningless."""
    up, down = both_ways(values)
    few = min(up, down) < max(ODD, MINORITY * (up + down))
    return not few and abs(_one_way(values)) < CANCELS


def both_ways(values: np.ndarray) -> tuple[int, int]:
    """Number of values clearly above 0, and below."""
    least = MOVED * float(np.abs(values).mean()) if len(values) else 0.0
    return int((values > least).sum()), int((values < -least).sum())


def agreement(scenarios: Sequence[str], totals: np.ndarray) -> np.ndarray:
    """Agreement of each prompt's total with the others of its scenario.

    Total × mean of the others' / mean size in the scenario: below 0 where it has the other sign; 0
    for a lone prompt. Pools small scenarios.
    """
    names, values = np.asarray(scenarios, dtype=object), np.asarray(totals, np.float64)
    found = np.zeros(len(values))
    for name in dict.fromkeys(scenarios):
        own = values[names == name]
        size = float(np.abs(own).mean())
        if len(own) > 1 and size > 0:
            found[names == name] = own * (own.sum() - own) / (len(own) - 1) / size
    return found


def _disagree(values: np.ndarray) -> bool:
    up, down = both_ways(values)
    return down >= max(ODD, MINORITY * (up + down)) and _one_way(values) < TOGETHER


def _one_way(values: np.ndarray) -> float:
    """Mean over mean size: ±1 where all have one sign, about 0 where they cancel."""
    size = float(np.abs(values).mean()) if len(values) else 0.0
    return float(values.mean()) / size if size > 0 else 0.0


def _counts(values: np.ndarray) -> tuple[int, int]:
    return int((values > 0).sum()), int((values < 0).sum())


def notes(
    scenarios: Sequence[str],
    given: Sequence[int | None],
    totals: np.ndarray,
    others: Sequence[np.ndarray] = (),
) -> tuple[list[str], bool]:
    """Remarks on signs for a comparison, and whether effects cancel in some scenario.

    They cancel where no direction separates them. A given direction is doubted only where no
    variant at hand follows it: an untrained base need not.

    Parameters
    ----------
    scenarios, given : of every observation its scenario and direction (or None)
    totals : float [n]
        Of the base, or of the first variant measured.
    others : each float [n]
        Totals of the other variants at hand.
    """
    mixed = undirected(scenarios, given, totals, others)
    names, known = np.asarray(scenarios, dtype=object), np.array([d or 0 for d in given])
    against: dict[str, tuple[int, int]] = {}
    for name in dict.fromkeys(scenarios):
        counted = (names == name) & (known != 0)
        aligned = [(np.asarray(each, np.float64) * known)[counted] for each in (totals, *others)]
        if counted.any() and all(cancels(each) or _contradicts(each) for each in aligned):
            against[name] = _counts(aligned[0])
    return [*mixed, *_contradicted(against)], bool(mixed)


def undirected(
    scenarios: Sequence[str],
    given: Sequence[int | None],
    totals: np.ndarray,
    others: Sequence[np.ndarray] = (),
) -> list[str]:
    """Remarks on scenarios where effects cancel for want of a direction. See ``notes``."""
    free = np.array([d is None for d in given], dtype=bool)
    names = np.asarray(scenarios, dtype=object)[free]
    at_hand = [np.asarray(each, np.float64)[free] for each in (totals, *others)]
    mixed = []
    for name in dict.fromkeys(names.tolist()):
        here = [each[names == name] for each in at_hand]
        if not any(abs(_one_way(each)) > CLEAR for each in here):
            mixed += [_both(name, *_counts(each)) for each in here if cancels(each)][:1]
    if not mixed:
        return _together(names.tolist(), at_hand)
    more = [f"the same in {len(mixed) - SHOWN} more scenarios"] if len(mixed) > SHOWN else []
    return [*mixed[:SHOWN], *more]


def _together(scenarios: Sequence[str], at_hand: Sequence[np.ndarray]) -> list[str]:
    """The same over all scenarios, and over those too small to show it alone."""
    agreed = [agreement(scenarios, each) for each in at_hand]
    rows = Counter(scenarios)
    small = np.array([rows[name] < FEW for name in scenarios], dtype=bool)
    for chosen in (small | True, *([small] if small.sum() >= FEW else [])):
        here = [each[chosen] for each in agreed]
        if not any(_one_way(each) > CLEAR for each in here):
            found = [_over_all(*_counts(each)) for each in here if _disagree(each)]
            if found:
                return found[:1]
    return []


def against_direction(
    variant: str, scenarios: Sequence[str], given: Sequence[int | None], totals: np.ndarray
) -> list[str]:
    """Remark on a variant that contradicts the directions beyond noise.

    Of each scenario, else of all together. No fault by itself: a base need not do what its
    variants learn.
    """
    known = np.array([d or 0 for d in given])
    names = np.asarray(scenarios, dtype=object)[known != 0]
    aligned = (np.asarray(totals, np.float64) * known)[known != 0]
    clear = [n for n in dict.fromkeys(names.tolist()) if _clearly_below(aligned[names == n])]
    if not clear and not _clearly_below(aligned):
        return []
    shown = aligned[np.isin(names, clear)] if clear else aligned
    return [
        f"{variant:.60}: corruption moves the decision against `direction` on "
        f"{_counts(shown)[1]} of {len(shown)} prompts{_of_scenarios(clear)} (a model that was not "
        "trained for these may)"
    ]


def _clearly_below(values: np.ndarray) -> bool:
    if len(values) < 2:
        return False
    return float(values.mean()) < -BEYOND * float(values.std(ddof=1)) / len(values) ** 0.5


def exchanged_pairs(run: Run) -> list[str]:
    """Remark on exchanged pairs."""
    own = {run.prompts[i].scenario for i in run.observed}
    lost = {prompt.scenario for prompt in run.prompts} - own
    return exchanged_in_words(run.n - run.n_observations, lost)


def _contradicts(aligned: np.ndarray) -> bool:
    up, down = both_ways(aligned)
    return (down > up and float(aligned.mean()) < 0) or _clearly_below(aligned)


def _both(name: str, up: int, down: int) -> str:
    return (
        f"in scenario {quoted(name)} corruption raises the decision on {up} prompts and lowers it "
        f"on {down}: {_EXCHANGED}"
    )


def _over_all(agree: int, against: int) -> str:
    return (
        f"over all scenarios corruption moves the decision with the rest of the scenario on "
        f"{agree} prompts and against it on {against}: {_EXCHANGED}"
    )


_EXCHANGED = "effects cancel; are answer and wrong_answer exchanged on some lines? give direction"


def _of_scenarios(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f" of scenario {', '.join(quoted(name) for name in names[:SHOWN])}{more}"


def _contradicted(against: Mapping[str, tuple[int, int]]) -> list[str]:
    if not against:
        return []
    agree, not_so = (sum(count[i] for count in against.values()) for i in (0, 1))
    return [
        f"direction contradicts the measured totals on {not_so} of {agree + not_so} prompts"
        f"{_of_scenarios(list(against))}: are answer and wrong_answer exchanged, or does this "
        "model not decide as you expect? direction is taken as given"
    ]
