"""Values of components, prompt by prompt, and what a measure is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from circuitgraph.models.stored import StoredModel


class Node(NamedTuple):
    """What one value is of: a component, and which of its values where it has several."""

    component: str
    category: str = ""


@dataclass(frozen=True, eq=False)
class NodeValues:
    """One number a prompt and node.

    Attributes
    ----------
    nodes
        The columns, in order of computation.
    values : float32 [n × nodes]
        Rows are the prompts of the run they were measured on, in its order.
    facts
        What must be said of them, as plain JSON values.
    """

    nodes: tuple[Node, ...]
    values: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """A question about components.

    Attributes
    ----------
    name
        What users call it.
    quantity
        What one value says, for a sentence.
    unit
        Of a value, for the head of a table.
    margin
        Smallest change that matters where none is given: a share of ``scale``.
    scale
        ``norm``: of the mean over prompts of the L2 norm of all values, which knows no unit;
        ``one``: of 1, for values that are shares themselves.
    kinds
        Kinds of runs it can be measured on, the best first.
    of_pair
        Whether a value is of a prompt and its corrupt twin, so that a pair given both ways is
        one observation.
    measure
        Measures all values of a stored model.
    """

    name: str
    quantity: str
    unit: str
    margin: float
    scale: str
    kinds: tuple[str, ...]
    of_pair: bool
    measure: Callable[[StoredModel], NodeValues]
