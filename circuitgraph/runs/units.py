"""Units of one run's edges, by the kind of run."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LOG_ODDS = "log-odds"
"""The decision's units: log p(answer) − log p(wrong answer)."""
CORRELATION = "correlation within scenarios (r)"

EDGE_UNITS: Mapping[str, str] = MappingProxyType({"correlation": CORRELATION, "effect": LOG_ODDS})
"""Of the weights of one variant's edges, by kind."""

EDGE_HEADS: Mapping[str, str] = MappingProxyType({"correlation": "r", "effect": "effect"})
