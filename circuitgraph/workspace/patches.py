"""Interventions in a workspace: patching, transplanted weights, steering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.base.keywords import listed
from circuitgraph.workspace.components import Components
from circuitgraph.workspace.kept_diff import within

if TYPE_CHECKING:
    from circuitgraph.interventions.patching import CrossPatch
    from circuitgraph.interventions.steering.measure import Steering
    from circuitgraph.interventions.transplant.measure import Transplant
    from circuitgraph.runs.record import Run


class Interventions(Components):
    """Interventions in the variants of a workspace."""

    def patch(
        self,
        source: str,
        into: str,
        *,
        parts: str | Sequence[str] = ("components",),
        share: float = 0.8,
        by: Literal["share", "flips"] = "share",
        layers: tuple[int, int] | None = None,
        run: str | None = None,
        memory: float | None = None,
        device: str = "cpu",
    ) -> CrossPatch:
        """Patch activations of one variant into another's run, both ways, and keep the results.

        The same question again, with the same options, returns what is kept.

        Parameters
        ----------
        source, into : str
            Variants of one build with runs on the same prompts.
        parts : str or sequence of str
            Any of ``components``, ``edges``, ``sets``, ``routes``.
        share : float
            What a sufficient set recovers (of up to 10 components).
        by : {"share", "flips"}
            Share of the gap between the decisions, or of the prompts decided differently.
        layers : (int, int), optional
            First and last layer of the routes [default: all].
        run : str, optional
            Choose among several runs by their ids.
        memory, device
            Bytes the process may hold, and where to compute: speed, never results.

        Raises
        ------
        UsageError, InputError
            Before any long work.
        """
        from circuitgraph.interventions import patching

        first, second = self._comparison().alike(source, into, run, None)
        options = patching.Options(parts, share, by, layers).checked(first.variant.layers)
        if kept := patching.kept_patch(self.transfers_folder, first, second, options):
            self._load(self.catalogue().runs)  # another store may lack it
            return kept
        result = patching.cross_patch(first, second, options, self.reporter, within(memory, device))
        patching.keep(result, self.transfers_folder, options)
        self._load(self.catalogue().runs, result.runs)
        return result

    def transplant(
        self,
        source: str,
        into: str,
        *,
        components: str | Sequence[str] = (),
        layers: str | tuple[int, int] | None = None,
        each: bool = False,
        pairs: bool = False,
    ) -> Transplant:
        """Decisions of a variant with weights of another's components, in both directions.

        Parameters
        ----------
        source, into : str
            Variants of one build with effect runs on the same prompts.
        components : str or sequence of str
            Components replaced together, with commas (L5_MLP,L6_ATTN); repeat for another set.
        layers : "FIRST-LAST" or (int, int), optional
            Another set: whole blocks, such as 11-23.
        each : bool
            Each attention layer, MLP, embedding and unembedding alone [default without sets].
        pairs : bool
            Also every two sets together: are their effects additive? In Python see ``.pairs``.

        Raises
        ------
        UsageError, InputError
            Before any long work.
        """
        from circuitgraph.interventions.transplant.measure import transplant
        from circuitgraph.interventions.transplant.parts import sets_of
        from circuitgraph.store.transfers import TRANSPLANT

        runs = self._comparison().alike(source, into, None, "effect")
        sets = sets_of(listed(components), layers, each, runs[1].variant.layers)
        found = transplant(*runs, sets, self.reporter, pairs)
        self._keep_moved(TRANSPLANT, runs, found.moved)
        return found

    def _keep_moved(self, method: str, runs: tuple[Run, Run], moved: pd.DataFrame) -> None:
        """Keep effects of single components, beside the patches and in the graph."""
        from circuitgraph.interventions.patching import keep_moved

        single = moved[~moved["component"].str.contains(",")].reset_index(drop=True)
        if len(single):
            keep_moved(method, runs, single, self.transfers_folder)
            self._load(self.catalogue().runs, [run.id for run in runs])

    def _steered(self, *names: str) -> Sequence[Run]:
        """Effect runs of variants: the newest that agree in everything, else the newest of each."""
        catalogue = self.catalogue()
        try:
            return catalogue.matched(names, (), "effect")[0]
        except UsageError:  # which runs must agree in is less, and checked with their models
            return [catalogue.one(name, "effect") for name in names]

    def steer(
        self,
        a: str,
        b: str,
        *,
        into: str,
        at: str | Sequence[str],
        strength: str | float | Sequence[float] = "-2:2:9",
        positions: Literal["all", "last"] = "all",
        random: int = 20,
        seed: int = 0,
    ) -> Steering:
        """Steer a variant: add the difference of activations B − A to components' outputs.

        Parameters
        ----------
        a, b : str
            Variants of one build with effect runs on the same prompts.
        into : str
            The variant that is steered.
        at : str or sequence of str
            Components, with commas.
        strength : "FROM:TO:N", float or sequence of float
            In units of each component's mean norm in ``into``; a single number is one strength.
        positions : {"all", "last"}
            All tokens of the prompt, or only the last.
        random : int
            Number of random directions of equal norm, as controls.
        seed : int
            Of the random directions.

        Raises
        ------
        UsageError, InputError
            Before any long work.
        """
        from circuitgraph.interventions.steering.measure import Plan, steer
        from circuitgraph.interventions.steering.run import names_in, strengths_in
        from circuitgraph.store.transfers import STEER

        if positions not in ("all", "last"):
            raise UsageError(f"``positions={positions!r}``: choose all or last")
        plan = Plan(names_in(at), strengths_in(strength), positions == "last", random, seed)
        first, second, runs = self._steered(a, b, into)
        found = steer(first, second, runs, plan, self.reporter)
        if second.id != runs.id:  # a variant does nothing to itself by its own name
            self._keep_moved(STEER, (second, runs), found.moved)
        return found
