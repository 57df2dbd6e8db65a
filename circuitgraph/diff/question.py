"""The question of a diff, and its id: a hash of everything the answer depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from circuitgraph.base.components import digest
from circuitgraph.lenses.base import Options
from circuitgraph.lenses.match import replicates
from circuitgraph.runs.record import Run


@dataclass(frozen=True, eq=False)
class Question:
    """Two sides and how they are compared; the names ``a`` and ``b`` do not enter the id."""

    a: str
    b: str
    runs_a: Sequence[Run]
    runs_b: Sequence[Run]
    options: Options

    @cached_property
    def id(self) -> str:
        """The id of the diff, known before anything is measured."""
        a, b = replicates(self.runs_a)[0], replicates(self.runs_b)[0]
        return diff_id(a, b, self.options, self.margin)

    @property
    def asked(self) -> list[list[str]]:
        """Sorted ids of the runs of both sides."""
        return [sorted(run.id for run in side) for side in (self.runs_a, self.runs_b)]

    @cached_property
    def margin(self) -> float:
        """The margin that is used."""
        if self.options.margin is not None:
            return float(self.options.margin)
        return self.options.lens.margin_between(self.runs_a, self.runs_b)


def diff_id(a: Sequence[Run], b: Sequence[Run], options: Options, margin: float) -> str:
    """Hash of the runs and options that claims depend on.

    Independent of the order within a side, and of null pairs, mechanisms and blocks.
    """
    sides = [sorted(run.id for run in side) for side in (a, b)]
    signs = a[0].signs  # where prompts have no direction, they are the workspace's own
    if signs is not None and not all(prompt.direction for prompt in a[0].prompts):
        sides.append([f"{name} {sign}" for name, sign in sorted(signs.by_scenario.items())])
    chosen = [options.lens.name, options.scope, options.alpha, margin, *options.lens.key]
    return digest("diff", *sides, *chosen, options.fdr, options.seed)
