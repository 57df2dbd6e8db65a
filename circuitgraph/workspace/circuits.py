"""Circuits in a workspace: their faithfulness, and the overlap of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from circuitgraph.base.keywords import listed
from circuitgraph.workspace.diffs import Diffs
from circuitgraph.workspace.kept_diff import within

if TYPE_CHECKING:
    from circuitgraph.interventions.circuits.faithfulness import Faithfulness, Ranking


class Circuits(Diffs):
    """The strongest edges of the variants in a workspace."""

    def faithfulness(
        self,
        name: str,
        *,
        sizes: float | Sequence[float] | None = None,
        random: int = 10,
        seed: int = 0,
        rank: Ranking = "magnitude",
        of: str | None = None,
        run: str | None = None,
        memory: float | None = None,
        device: str = "cpu",
    ) -> Faithfulness:
        """Faithfulness of a variant's strongest edges as circuits, by size (Mueller et al. 2025).

        Parameters
        ----------
        name : str
            A variant with an effect run.
        sizes : sequence of float, optional
            Shares of all edges.
        random : int
            Random rankings, to compare with circuits of the same sizes.
        seed : int
            Of random rankings and bootstrap samples.
        rank : {"magnitude", "signed"}
            Edges of largest |effect| first, or those first that favour the clean decision.
        of : str, optional
            Another variant, whose strongest edges are the circuits: is it the same circuit?
        run : str, optional
            The effect run, by the beginning of its id [default: the newest].
        memory, device
            Bytes the process may hold, and where to compute: speed, never results.
        """
        from circuitgraph.interventions.circuits.faithfulness import faithfulness
        from circuitgraph.interventions.circuits.ranking import SIZES

        return faithfulness(
            self.catalogue(), name, sizes=SIZES if sizes is None else listed(sizes), random=random,
            seed=seed, rank=rank, of=of, run=run, reporter=self.reporter,
            resources=within(memory, device),
        )  # fmt: skip

    def overlap(
        self,
        name: str,
        other: str | None = None,
        *,
        sizes: float | Sequence[float] | None = None,
        run: str | None = None,
    ) -> pd.DataFrame:
        """Number of edges that two circuits share, and the probability of as many by chance.

        Parameters
        ----------
        name : str
            A variant with an effect run.
        other : str, optional
            Another one; None takes the newest run of ``name`` on other prompts.
        sizes : sequence of float, optional
            Shares of all edges that the circuits hold.
        run : str, optional
            Choose among several runs by their ids.

        Returns
        -------
        DataFrame
            ``share, edges, shared, expected, p, expected_within, p_within, run_a, run_b``; see
            ``stats.overlap.Overlap``.

        Raises
        ------
        UsageError
            Unknown names, no second run, or runs of different edges.
        """
        from circuitgraph.interventions.circuits.faithfulness import checked_sizes
        from circuitgraph.interventions.circuits.overlap import SHARED_SIZES, overlaps

        shares = checked_sizes(SHARED_SIZES if sizes is None else sizes)
        return overlaps(self.catalogue(), name, other, run, shares)
