"""The Python interface: a folder of runs and their graph, with one method per command.

The graph database holds summaries of the runs on disk; runs that it lacks are loaded when needed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from circuitgraph.base.components import EdgeKind
from circuitgraph.base.errors import UsageError
from circuitgraph.base.keywords import listed, named_keywords
from circuitgraph.base.textfiles import expanded
from circuitgraph.lenses.base import Lens
from circuitgraph.workspace.patches import Interventions

if TYPE_CHECKING:
    from circuitgraph.behaviour.behave import Behaviour
    from circuitgraph.planning.plan import Plan
    from circuitgraph.prompts.reader import Source


Format = Literal["gexf", "graphml", "csv", "cx2", "neuronpedia", "mib", "neo4j-admin"]


@named_keywords
class Workspace(Interventions):
    """A folder of runs and the graph made of them.

    ``len`` counts its variants, iteration gives their names, ``workspace["name"]`` one of them.

    Parameters
    ----------
    path : path
        The folder; made when first written to.
    store : str, optional
        Where the graph lives; None for the embedded file in the folder.
    reporter : Reporter, optional
        Where remarks and progress go; silent by default.
    """

    def plan(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        prompts: Source | int | None = None,
        scenarios: int | None = None,
        seeds: int = 3,
        edges: int | None = None,
        lens: str | None = None,
        pilot: str | None = None,
        alpha: float = 0.05,
        power: float = 0.8,
        margin: float | None = None,
        changed: float = 0.02,
        tokens: int = 100,
        split_inputs: bool = False,
    ) -> Plan:
        """Power of a design: the smallest change it detects, with hours and bytes.

        Parameters
        ----------
        model : path, optional
            A model folder, for hours and bytes.
        prompts : int or path, optional
            Distinct prompts, or their file [default: 100].
        scenarios : int, optional
            Scenarios [default: those of the file, else 5].
        seeds : int
            Variants a side.
        edges : int, optional
            Edges tested [default: of MODEL or pilot, else 200].
        lens : str, optional
            One lens only [default: all].
        pilot : str, optional
            Variants or recipes to measure noise on.
        alpha : float
            False discovery rate of the claims.
        power : float
            Probability of a claim where the change is real.
        margin : float, optional
            Smallest change that matters; needs ``lens``.
        changed : float
            Share of edges expected to change.
        tokens : int
            Tokens per prompt, without a file.
        split_inputs : bool
            Effects through q, k and v one by one.

        Raises
        ------
        UsageError, InputError
            Numbers, names or files that cannot be.
        """
        from circuitgraph.planning import plan as planning

        question = planning.Question(
            prompts=prompts, scenarios=scenarios, seeds=seeds, edges=edges, lens=lens, pilot=pilot,
            alpha=alpha, power=power, margin=margin, changed=changed, tokens=tokens,
            model=None if model is None else os.fspath(model), split_inputs=split_inputs,
        )  # fmt: skip
        return planning.plan(question, self.catalogue(), self.reporter)

    def behave(
        self,
        names: str | Sequence[str],
        *,
        games: str | Sequence[str] | None = None,
        wordings: int = 12,
        samples: int = 0,
        stored: bool = False,
        opponent: str = "random",
        seed: int = 0,
    ) -> Behaviour:
        """Decisions of variants in games, compared with their base on the same prompts.

        Kept as ``DECIDES`` and not measured again.

        Parameters
        ----------
        names : str or sequence of str
            Variants with an effect run on prompts that have states.
        games : str or sequence of str, optional
            Generate prompts of all games, of ipd,ish,…, or of a TOML file [default: the
            variants' own prompts].
        wordings : int
            Of generated prompts.
        samples : int
            Also sample so many answers per prompt.
        stored : bool
            Only the decisions stored with runs; loads no model.
        opponent : str
            Gives the next move, for utilitarian regret.
        seed : int
            Of samples.

        Returns
        -------
        Behaviour
            ``.table(by)`` has one row per scenario, state, wording or game.

        Raises
        ------
        UsageError, InputError
            No such variant, prompts without states, or missing files.
        """
        from circuitgraph.behaviour.behave import BehaveRequest, behave

        request = BehaveRequest(games, wordings, samples, stored, opponent, seed)
        catalogue = self.catalogue()
        found = behave(catalogue, listed(names), request, self.reporter)
        self._load(catalogue.runs)
        return found

    def compose(
        self, name: str, other: str | None = None, *, shared_basis: bool = False
    ) -> pd.DataFrame:
        """Composition scores of a variant from its weights alone, kept as ``COMPOSES``.

        Parameters
        ----------
        name : str
            An ingested variant with heads.
        other : str, optional
            Another of the same build; then ``delta`` is the relative change of every virtual
            weight, 0 to 1.
        shared_basis : bool
            Compare although the models are neither adapters of one base nor similar; only if both
            residual streams share a basis.

        Raises
        ------
        UsageError, InputError
            Before any long work.
        """
        from circuitgraph.composition.kept import composition

        catalogue = self.catalogue()
        table = composition(
            catalogue, name, other, shared_basis=shared_basis, reporter=self.reporter
        )
        self._load(catalogue.runs)
        return table

    def export(
        self,
        names: str | Sequence[str],
        format: Format | None,
        path: str | os.PathLike[str],
        *,
        lens: str | Lens | None = None,
        kind: EdgeKind | None = None,
        top: int | None = None,
        least: float = 0.0,
    ) -> list[Path]:
        """Write variants, or the diff of two (``A:B``), for other programs.

        Parameters
        ----------
        names : str or sequence of str
            Variants and diffs; with neo4j-admin none for the whole graph.
        format : str, optional
            gexf and csv for Gephi, cx2 for Cytoscape, neuronpedia for its graph viewer, mib for
            EAP-IG, MIB and CircuitKIT, neo4j-admin for an offline import [default: the file's
            ending].
        path : path
            The file of one name; for csv, neo4j-admin or several names, the folder.
        lens : str or Lens, optional
            Of diffs A:B [default: effect where both have such runs, else correlation].
        kind : {"correlation", "effect"}, optional
            Edges of variants.
        top : int, optional
            So many edges of the largest size.
        least : float
            Smallest size.
        """
        from circuitgraph.export.files import format_of
        from circuitgraph.transfer import write_bulk, write_files

        compare = partial(self.diff, lens=lens)
        names, path = listed(names), expanded(path)
        chosen = format or format_of(path)
        if chosen in ("neo4j-admin", "mib") and (kind, top, least) != (None, None, 0.0):
            raise UsageError(f"``kind``, ``top`` and ``least`` are not for {chosen}: it holds all")
        if chosen == "neo4j-admin":
            return write_bulk(self.catalogue(), compare, names, path, self.path)
        return write_files(
            self.catalogue(), compare, names, chosen, path, self.reporter, kind, top, least
        )
