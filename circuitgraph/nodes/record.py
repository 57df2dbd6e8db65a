"""Per-prompt values of components, and the definition of a measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from circuitgraph.stats.scenarios import recode

if TYPE_CHECKING:
    from circuitgraph.models.stored import StoredModel


class Node(NamedTuple):
    """A component, and a category where the measure has several values per component."""

    component: str
    category: str = ""


@dataclass(frozen=True, eq=False)
class NodeValues:
    """One number per prompt and node.

    Attributes
    ----------
    nodes
        The columns, in order of computation.
    values : float32 [n × nodes]
        Rows are the run's prompts, in its order.
    facts
        Remarks for the reader, as plain JSON values.
    groups : int [n], optional
        Prompts whose values stand and fall together, so that a group is one observation.
    """

    nodes: tuple[Node, ...]
    values: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)
    groups: np.ndarray | None = None

    def observed(self, scenarios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values of every observation [n × nodes], and its scenario's code; groups have none."""
        if self.groups is None:
            return self.values, recode(scenarios)
        members = np.unique(self.groups)[:, None] == self.groups
        means = members @ self.values.astype(np.float64) / members.sum(1, keepdims=True)
        return means, np.zeros(len(means), np.int64)


@dataclass(frozen=True)
class Measure:
    """A quantity measured for every component.

    Attributes
    ----------
    name
        On the command line and in Python.
    quantity
        Definition of one value, for a sentence.
    unit
        Of a value.
    margin
        Default margin, as a share of ``scale``.
    scale
        ``norm``: the mean over prompts of the L2 norm of all values; ``one``: 1, for values that
        are shares.
    kinds
        Kinds of runs it can be measured on, the preferred first.
    of_pair
        Whether a value belongs to a prompt with its corrupt twin, so that a pair given both ways
        is one observation.
    measure
        Computes all values of a stored model.
    """

    name: str
    quantity: str
    unit: str
    margin: float
    scale: str
    kinds: tuple[str, ...]
    of_pair: bool
    measure: Callable[[StoredModel], NodeValues]
