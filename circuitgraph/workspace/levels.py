"""The levels of a workspace's variants: names in, one table out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from circuitgraph.base.errors import UsageError
from circuitgraph.base.keywords import listed, pairs
from circuitgraph.diff.question import Question
from circuitgraph.diff.random_nulls import RandomNulls, draws_of
from circuitgraph.diff.record import Diff
from circuitgraph.lenses.base import Models
from circuitgraph.lenses.registry import lens_class, lens_names
from circuitgraph.workspace.circuits import Circuits
from circuitgraph.workspace.comparison import Comparison, Null

if TYPE_CHECKING:
    from circuitgraph.levels.entry import Pair
    from circuitgraph.levels.record import Levels
    from circuitgraph.models.stored import ModelPair
    from circuitgraph.runs.record import Run


class LevelsOfVariants(Circuits):
    """How alike variants are, level by level."""

    def levels(
        self,
        a: str,
        b: str,
        *,
        null: Null = (),
        seeds: Null | None = None,
        lens: str | Sequence[str] | None = None,
        measure: bool = True,
    ) -> Levels:
        """How alike two variants are by weights, attention, behaviour and each lens.

        Kept, and told at the head of their report.

        Parameters
        ----------
        a, b : str
            Variants.
        null : pairs of names
            A pair known not to differ, or random:K for A moved K times (4) at random as far as B
            is from it; repeatable.
        seeds : pairs of names, optional
            Two seeds of one recipe; repeatable [default: A and B, each with another seed of its
            recipe].
        lens : str or sequence of str, optional
            A lens by which interactions are compared; repeatable [default: all].
        measure : bool
            Measure what is not kept; else it is left out, and that is said.

        Raises
        ------
        UsageError
            Unknown names, or variants without comparable runs.
        """
        from circuitgraph.levels.entry import Asker, levels, seeds_of
        from circuitgraph.levels.record import FOLDER, NULL, PAIR, SEEDS, keep

        comparison = self._comparison()
        lenses = lens_names() if lens is None else listed(lens)
        for name in lenses:
            lens_class(name)
        pair = _pair(comparison, PAIR, a, b)
        given = pairs(null)
        drawn = [one for one in given if comparison.is_random(one)]
        others = [_named(comparison, NULL, one) for one in given if not comparison.is_random(one)]
        chosen = seeds_of(comparison.catalogue, a, b) if seeds is None else pairs(seeds)
        others += [_named(comparison, SEEDS, one) for one in chosen]
        if draws := max((draws_of(one) or 0 for one in drawn), default=0):
            others += self._random(comparison, pair, draws, measure)
        compare = partial(self._lens_diff, comparison, measure)
        found = levels(pair, others, Asker(compare, lenses, measure, self.reporter))
        keep(found, self.path / FOLDER)
        return found

    def _lens_diff(
        self, comparison: Comparison, measure: bool, pair: Pair, lens: str
    ) -> Diff | None:
        """The diff of a pair; None where nothing may be measured and it is not kept."""
        question = comparison.question(pair.a, pair.b, lens)
        kept = comparison.kept(question)
        if kept is not None or not measure:
            return kept
        return self._answered(comparison, question, (), mechanism=False)

    def _random(
        self, comparison: Comparison, pair: Pair, draws: int, measure: bool
    ) -> Iterator[Pair]:
        """A against A moved at random; without ``measure`` those that were measured before."""
        from circuitgraph.levels.entry import KINDS, Pair
        from circuitgraph.levels.record import NULL

        models = Models(self.reporter, comparison.catalogue.runs)
        shared: dict[tuple[str, str], Any] = {}
        by_kind = {
            kind: RandomNulls(_question(comparison, pair, kind), self.nulls_folder, models, shared)
            for kind in pair.runs
        }
        for draw in range(draws):
            if not measure and not all(one.known(draw) for one in by_kind.values()):
                continue
            runs = {kind: (pair.runs[kind][0], one.run_of(draw)) for kind, one in by_kind.items()}
            best = next(kind for kind in KINDS if kind in runs)
            lend = partial(_lent, by_kind[best], draw, *runs[best])
            compare = partial(_with_random, models, by_kind, draw, runs)
            yield Pair(NULL, pair.a, runs[best][1].variant.name, runs, lend, compare)


def _pair(comparison: Comparison, role: str, a: str, b: str) -> Pair:
    from circuitgraph.levels.entry import Pair

    return Pair.of(comparison.catalogue, role, a, b)


def _named(comparison: Comparison, role: str, one: str | tuple[str, str]) -> Pair:
    return _pair(comparison, role, *comparison.names(one, "checkpoint"))


def _question(comparison: Comparison, pair: Pair, kind: str) -> Question:
    """Of the lens whose numbers lie in runs of this kind."""
    lens = next(name for name in lens_names() if lens_class(name).run_kind == kind)
    return comparison.question(pair.a, pair.b, lens)


def _with_random(
    models: Models,
    random: Mapping[str, RandomNulls],
    draw: int,
    runs: Mapping[str, tuple[Run, Run]],
    lens: str,
) -> Diff:
    """The diff of A and a random update of it, by a lens whose numbers lie in runs."""
    from circuitgraph.diff.compare import compare_runs

    kind = lens_class(lens).run_kind
    if kind not in runs:
        raise UsageError(f"the {lens} lens is not held against random updates here")
    a, b = runs[kind]
    lend = replace(models, at_hand={b.id: partial(random[kind].opened, draw, b)})
    name_a, name_b = a.variant.name, b.variant.name
    return compare_runs([a], [b], name_a=name_a, name_b=name_b, lens=lens, models=lend)


@contextmanager
def _lent(random: RandomNulls, draw: int, a: Run, b: Run) -> Iterator[ModelPair]:
    from circuitgraph.models.stored import ModelPair, StoredModel

    first = StoredModel.open(a, "random null pairs")
    opened: AbstractContextManager[Any] = random.opened(draw, b)
    with opened as second:
        yield ModelPair(first, second)
