"""Similarity of two variants level by level: in tables, in words, and kept beside the runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from math import ceil, isfinite, log10
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.base.errors import short
from circuitgraph.base.frames import records as plain
from circuitgraph.runs.artefacts import put, records, resting_on
from circuitgraph.runs.record import now

WEIGHTS, ATTENTION, BEHAVIOUR, INTERACTIONS = "weights", "attention", "behaviour", "interactions"
PAIR, NULL, SEEDS = "pair", "null", "seeds"
PAIR_COLUMNS = (
    *("role", "a", "b", "level", "measure", "alike", "low", "high"),
    *("claims", "testable", "n", "reason"),
)
COLUMNS = (
    *("level", "measure", "alike", "low", "high", "claims", "testable"),
    *("nulls", "null_least", "null_most", "null_claims"),
    *("seeds", "seeds_least", "seeds_most", "seeds_claims", "verdict", "reason"),
)
FURTHER, WITHIN, UNTOLD = "further than any null", "no further than a null", "cannot tell"


@dataclass(frozen=True, eq=False)
class Levels:
    """How alike two variants are by weights, attention, behaviour and interactions.

    Attributes
    ----------
    pairs
        A row a pair and measure, columns ``PAIR_COLUMNS``. ``role`` is ``pair``, ``null`` or
        ``seeds``; ``alike`` is 1 for what is the same, with its 95% interval; ``claims`` and
        ``testable`` are those of the lens; ``reason`` says why a number is not there.
    summary
        Plain JSON values: ``a``, ``b``, ids of the ``runs``.
    """

    pairs: pd.DataFrame
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """A row a measure, columns ``COLUMNS``: the pair beside all nulls and pairs of seeds.

        ``null_least`` and ``null_most`` are the smallest and largest ``alike`` of the null pairs,
        ``null_claims`` the most claims. ``verdict``: ``further than any null`` where the whole
        interval lies below the interval of every null.
        """
        rows = [self._row(own) for own in self.pairs[self.pairs["role"] == PAIR].to_dict("records")]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def _row(self, own: dict[Any, Any]) -> dict[Any, Any]:
        row = dict(own)
        same = (self.pairs["level"] == own["level"]) & (self.pairs["measure"] == own["measure"])
        for role, prefix in ((NULL, "null"), (SEEDS, "seeds")):
            found = self.pairs[same & (self.pairs["role"] == role)].dropna(subset="alike")
            row |= {
                {NULL: "nulls"}.get(role, role): len(found),
                f"{prefix}_least": found["alike"].min(),
                f"{prefix}_most": found["alike"].max(),
                f"{prefix}_claims": found["claims"].max(),
            }
            if role == NULL:
                row["verdict"] = _verdict(own, found)
        return row

    @property
    def lines(self) -> list[str]:
        """The table in words, a line a measure."""
        a, b = short(self.summary["a"]), short(self.summary["b"])
        return [f"{a} and {b}, level by level", *map(told, self.table.to_dict("records"))]

    def __repr__(self) -> str:
        s, nulls = self.summary, self.pairs[self.pairs["role"] == NULL]
        count = len(nulls[["a", "b"]].drop_duplicates())
        return f"Levels({short(s['a'])} → {short(s['b'])}, {count} null pairs)"


def _verdict(own: dict[Any, Any], nulls: pd.DataFrame) -> str:
    if nulls.empty or not isfinite(own["alike"]):
        return ""
    high = own["high"] if isfinite(own["high"]) else own["alike"]
    if high < nulls["low"].fillna(nulls["alike"]).min():
        return FURTHER
    return WITHIN if own["alike"] >= nulls["alike"].min() else UNTOLD


def percent(share: float) -> str:
    """A share with as many digits as part it from 1 (``99.9998%``); ``unknown`` for NaN."""
    if share == 1 or not isfinite(share):
        return "100%" if share == 1 else "unknown"
    digits = 1 if share < 0.99 else min(8, ceil(-log10(100 * (1 - share))) + 1)
    return f"{100 * share:.{digits}f}%"


def told(row: dict[Any, Any]) -> str:
    """One row of the table in words."""
    name = f"{row['level']} ({row['measure']})"
    if not isfinite(row["alike"]):
        return f"{name}: {row['reason']}"
    line = f"{name}: {percent(row['alike'])} alike"
    if isfinite(row["low"]):
        line += f" ({percent(row['low'])} to {percent(row['high'])})"
    if row["claims"] == row["claims"]:
        line += f", {row['claims']:.0f} of {row['testable']:.0f} claimed"
    line += "".join(_beside(row))
    return f"{line}: {row['verdict']}" if row["verdict"] else line


def _beside(row: dict[Any, Any]) -> Iterator[str]:
    for count, prefix, words in (
        ("nulls", "null", "null pairs"),
        ("seeds", "seeds", "two seeds"),
    ):
        if row[count]:
            ends = list(dict.fromkeys(percent(row[f"{prefix}_{e}"]) for e in ("least", "most")))
            claimed = row[f"{prefix}_claims"]
            most = "" if np.isnan(claimed) else f", {claimed:.0f} claimed"
            yield f"; {words} {' to '.join(ends)}{most}"


FOLDER = "levels"
AGAIN = "ask for the levels again"
_TEXTS = ("role", "a", "b", "level", "measure", "reason")


def keep(found: Levels, folder: Path) -> Path:
    """Write the levels of a pair, in place of what was kept of the same runs."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{digest('levels', found.summary['own'])}.json"
    put(file, {**found.summary, "created": now(), "pairs": plain(found.pairs)})
    return file


def levels_of(folder: Path, runs: Collection[str]) -> Levels | None:
    """The newest that is kept of a pair among whose runs are these.

    Raises
    ------
    InputError
        A file is damaged.
    """
    found = [
        record for _, record in records(folder, _checked, AGAIN) if {*runs} <= {*record["own"]}
    ]
    if not found:
        return None
    newest = max(found, key=lambda record: str(record["created"]))
    pairs = pd.DataFrame(newest.pop("pairs"), columns=list(PAIR_COLUMNS))
    numbers = {name: float for name in PAIR_COLUMNS if name not in (*_TEXTS, "n")}
    return Levels(pairs.astype(numbers), newest)


def files_of(folder: Path, runs: Collection[str]) -> list[Path]:
    """What is kept of levels that rest on any of these runs; raises as :func:`levels_of`."""
    return resting_on(runs, folder, lambda record: record["runs"], AGAIN)


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in ("a", "b", "runs", "own", "created", "pairs")}
