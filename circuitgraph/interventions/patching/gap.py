"""The gap between two variants' decisions, and how much of it a patch recovers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from circuitgraph.stats.margins import half_width
from circuitgraph.stats.scenarios import balanced_mean, balanced_variance, chunks, means

ROUNDING = 1e-5
"""A gap below this share of the decisions is float32 rounding: nothing to recover."""


@dataclass(frozen=True)
class Gap:
    """Decisions of the patched variant and of the source.

    Attributes
    ----------
    into
        Decisions of the patched variant [n].
    source
        Decisions of the variant whose components are patched in [n].
    scenarios
        Codes 0 … S−1 [n].
    """

    into: np.ndarray
    source: np.ndarray
    scenarios: np.ndarray

    @property
    def signs(self) -> np.ndarray:
        """+1 where the source's decision is higher in the scenario's mean, else −1 [n]."""
        by_scenario = means((self.source - self.into)[:, None], self.scenarios)[:, 0]
        return np.where(by_scenario < 0, -1.0, 1.0)[self.scenarios]

    @property
    def size(self) -> float:
        """Mean over scenarios of the aligned gap; 0 if only rounding."""
        gap = ((self.source - self.into) * self.signs)[:, None]
        size = float(balanced_mean(gap, self.scenarios)[0])
        largest = max(float(np.abs(d).mean()) for d in (self.into, self.source))
        return size if size > ROUNDING * largest else 0.0

    @property
    def disagree(self) -> np.ndarray:
        """Whether the two prefer different answers, bool [n]."""
        return (self.into > 0) != (self.source > 0)

    def measured(self, changes: np.ndarray) -> pd.DataFrame:
        """Columns ``record.MEASURED`` for changes of the decision [N, n]; see ``CrossPatch``."""
        parts = [self._measured(changes[some]) for some in chunks(len(changes))]
        return pd.concat(parts, ignore_index=True)

    def _measured(self, changes: np.ndarray) -> pd.DataFrame:
        values = np.asarray(changes, np.float64).T
        aligned = values * self.signs[:, None]
        effect = balanced_mean(aligned, self.scenarios)
        n = len(values)
        half = half_width(
            np.sqrt(balanced_variance(aligned, self.scenarios)), n - self.scenarios.max() - 1
        )
        flipped = (self.into[:, None] + values > 0) != (self.into[:, None] > 0)
        toward = (flipped & self.disagree[:, None]).sum(0)
        size = self.size
        return pd.DataFrame(
            {
                "effect": effect,
                "low": effect - half,
                "high": effect + half,
                "share": effect / size if size else np.nan,
                "raw": values.mean(0),
                "flips": flipped.sum(0),
                "flips_to_source": toward,
                "flips_away": flipped.sum(0) - toward,
                "n": n,
            }
        )
