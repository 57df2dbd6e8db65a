"""Runs, variants and their graph in a workspace: ingest, query, remove."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from circuitgraph.base.components import Ablation, Activity, Dtype, EdgeKind, Granularity, Wanted
from circuitgraph.base.foreign import own_name
from circuitgraph.base.progress import Reporter
from circuitgraph.base.textfiles import DEFAULT_FOLDER, expanded
from circuitgraph.diff.kept import FOLDER, DiffFolder
from circuitgraph.diff.random_nulls import FOLDER as NULLS
from circuitgraph.diff.random_nulls import forget
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.conventions import forget_unused
from circuitgraph.runs.record import Run, discard_run
from circuitgraph.workspace.variants import VariantRuns

if TYPE_CHECKING:
    from circuitgraph.prompts.reader import Source
    from circuitgraph.store import Copied, Store

COMPONENTS = ("component", "source", "target")
"""Parameters of named queries that are names of components."""


class Contents:
    """Runs in a folder, and the graph made of them."""

    def __init__(
        self,
        path: str | os.PathLike[str] = DEFAULT_FOLDER,
        store: str | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self.path = expanded(path)
        self.store_uri = store
        self.reporter = reporter or Reporter()

    def __repr__(self) -> str:
        return f"Workspace({str(self.path)!r}, {len(self)} variants)"

    def __len__(self) -> int:
        return len(self.catalogue().variants())

    def __iter__(self) -> Iterator[str]:
        return iter(reversed(self.catalogue().variants()))

    def __contains__(self, name: object) -> bool:
        return name in self.catalogue().variants()

    def __getitem__(self, name: str) -> VariantRuns:
        return VariantRuns.of(self.catalogue(), name)

    @property
    def runs_folder(self) -> Path:
        """Folder of the runs."""
        return self.path / "runs"

    @property
    def diffs_folder(self) -> Path:
        """Folder of the diffs' full tables."""
        return self.path / FOLDER

    @property
    def nulls_folder(self) -> Path:
        """Folder of the runs of random updates."""
        return self.path / NULLS

    @property
    def transfers_folder(self) -> Path:
        """Folder of the cross-model patches' tables."""
        return self.path / "transfers"

    @property
    def _diffs(self) -> DiffFolder:
        return DiffFolder(self.diffs_folder)

    def catalogue(self) -> RunCatalogue:
        """All runs, to look up names."""
        return RunCatalogue.read(self.runs_folder)

    # Ingest

    def ingest(
        self,
        model: str | os.PathLike[str] | Any,
        *,
        name: str,
        prompts: Source,
        adapter: str | os.PathLike[str] | None = None,
        tokenizer: Any = None,
        recipe: str = "",
        edges: str | Sequence[str] | None = None,
        estimator: Wanted = "auto",
        steps: int = 5,
        split_inputs: bool = False,
        granularity: Granularity = "head",
        activity: Activity = "norm",
        ablation: Ablation = "corrupt",
        chat_template: bool = False,
        template_date: str | None = None,
        batch_size: int = 16,
        memory: float | None = None,
        budget: float | None = None,
        device: str = "cpu",
        dtype: Dtype = "float32",
        tf32: bool = False,
        ray: str | None = None,
        load: bool = True,
    ) -> list[Run]:
        """Measure one variant on a prompt set and put its graph into the store.

        Parameters
        ----------
        model : path, PreTrainedModel, PeftModel or TransformerBridge
            A Hugging Face folder (or hub name), or a model in memory: it is copied, and identified
            by its weights. Whatever loads models again (``wiring``, mechanisms, ``patch`` …) finds
            it in this session; later sessions need a folder.
        name : str
            Name of the variant.
        prompts : path, DataFrame, dictionaries or PromptSet
            Prompt file, JSONL or CSV.
        adapter : path, optional
            LoRA adapter folder (peft, safetensors).
        tokenizer : optional
            Of a model in memory; a TransformerBridge has its own.
        recipe : str
            Shared by variants trained alike with other seeds.
        edges : str or sequence of str, optional
            Kinds of edges: correlation, effect, or both with a comma [default: what the file
            allows].
        estimator : str
            How effects are measured. exact reruns what is downstream of every edge;
            receiver-exact reruns the receiver and linearises the rest; eap linearises both;
            eap-ig averages eap's gradients from corrupt to clean; auto is exact where that is
            affordable, else receiver-exact with a sample measured exactly, else eap (diff
            measures its claims exactly).
        steps : int
            Gradients of eap-ig.
        split_inputs : bool
            Effects through q, k and v one by one.
        granularity : {"head", "layer"}
            Single attention heads, or whole attention layers.
        activity : {"norm", "projection"}
            Correlate norms of contributions, or their projection on the logit difference.
        ablation : {"corrupt", "mean", "zero"}
            What replaces a sender's contribution.
        chat_template : bool
            Wrap each prompt as one user turn.
        template_date : str, optional
            The day (YYYY-MM-DD) in a chat template that contains the date [default: that of the
            first ingest of these prompts].
        batch_size : int
            Largest number of prompts per batch: memory and speed, never results.
        memory : float, optional
            Limit of the process's memory, such as 4GB. In Python a number of bytes.
        budget : float, optional
            Limit of the time for effects, such as 90s, 10m or 2h; the best estimator that fits is
            used. In Python a number of seconds.
        device : str
            cpu, cuda, cuda:1, or mps (untested).
        dtype : {"float32", "bfloat16"}
            Of weights and activations; effects need float32.
        tf32 : bool
            On CUDA: faster matrix products of inputs rounded to 10 bits.
        ray : str, optional
            Spread the work over Ray: local, local:WORKERS, auto, HOST:PORT or ray://HOST:PORT.
        load : bool
            Put the graph into the store now; else the next query or diff does.

        Returns
        -------
        list of Run
            One run per kind of edges; the same ingest again finds the same runs.

        Raises
        ------
        InputError, UsageError
            Before any long work.
        ClusterError
            With ``ray``: also later.
        """
        from circuitgraph.ingest.entry import as_kinds, take_model

        options = {
            "kinds": as_kinds(edges), "estimator": estimator, "steps": steps,
            "inputs": "split" if split_inputs else "joint", "granularity": granularity,
            "activity": activity, "ablation": ablation, "chat_template": chat_template,
            "template_date": template_date, "batch_size": batch_size, "memory": memory,
            "budget": budget, "device": device, "dtype": dtype, "tf32": tf32, "ray": ray,
        }  # fmt: skip
        known = self.catalogue()
        folder = None if adapter is None else os.fspath(adapter)
        runs = take_model(
            os.fspath(model) if isinstance(model, str | os.PathLike) else model, folder, name,
            recipe, prompts, options, known, self.runs_folder, self.reporter, tokenizer,
        )  # fmt: skip
        if load:
            self._load([*known.runs, *runs])
        return runs

    def ingest_table(self, path: str | os.PathLike[str], *, name: str, recipe: str = "") -> Run:
        """Read an activation table (CSV, parquet or JSON) as one variant's correlation run."""
        from circuitgraph.ingest.entry import take_table

        known = self.catalogue()
        run = take_table(expanded(path), name, recipe, known, self.runs_folder)
        self._load([*known.runs, run])
        return run

    def import_circuit(self, path: str | os.PathLike[str], *, name: str, recipe: str = "") -> Run:
        """Read a circuit of EAP-IG, MIB or CircuitKIT (JSON) as one variant's effect run.

        Its edges keep scores and flags; without prompts nothing can be tested.
        ``export(name, "mib", path)`` writes the file again.
        """
        from circuitgraph.ingest.entry import take_circuit

        known = self.catalogue()
        run = take_circuit(expanded(path), name, recipe, known, self.runs_folder)
        self._load([*known.runs, run])
        return run

    # The graph store

    def open_store(self) -> Store:
        """The graph store; use it in a ``with`` statement."""
        from circuitgraph.store import open_store

        return open_store(self.store_uri, self.path)

    def sync(self) -> int:
        """Load runs that the graph lacks; returns their number."""
        return self._load(self.catalogue().runs)

    @contextmanager
    def _loaded(self, runs: Sequence[Run], but: str = "") -> Iterator[Store]:
        """The graph store with these runs, and all that is kept of them but one diff, in it."""
        from circuitgraph.transfer import load_graph

        with self.open_store() as store:
            if runs:
                load_graph(store, self.path, {run.id: run for run in runs}.values(), but)
            yield store

    def _load(self, runs: Sequence[Run], new: Sequence[str] = ()) -> int:
        """Load what the graph lacks, and the transfers between two runs ``new``."""
        from circuitgraph.transfer import load_graph

        if not runs:
            return 0
        with self.open_store() as store:
            return load_graph(store, self.path, {run.id: run for run in runs}.values(), new=new)

    def push(self) -> Copied:
        """Copy the workspace's graph to the server that is its ``store``."""
        from circuitgraph.transfer import push

        return push(self.path, self.catalogue().runs, self.store_uri, self.reporter)

    def pull(self) -> Copied:
        """Copy the graph of the server that is its ``store`` into the workspace's file."""
        from circuitgraph.transfer import pull

        return pull(self.path, self.store_uri, self.reporter)

    def rebuild(self) -> tuple[Copied, bool]:
        """Rebuild the embedded graph from the files beside it; see ``transfer.rebuild``."""
        from circuitgraph.transfer import rebuild

        return rebuild(self.path, self.catalogue().runs)

    def query(self, name: str, **parameters: str | float) -> pd.DataFrame:
        """Result of a named query; see ``queries.list_queries``.

        Parameters that name components take names of EAP-IG and TransformerLens too.
        """
        from circuitgraph.queries import run_query

        catalogue = self.catalogue()
        if {*COMPONENTS} & {*parameters}:
            known = catalogue.table_names()
            named = {n: own_name(str(parameters[n]), known) for n in COMPONENTS if n in parameters}
            parameters |= named
        with self._loaded(catalogue.runs) as store:
            return run_query(store, name, parameters)

    def cypher(self, text: str, parameters: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Result of a read-only Cypher statement with parameters."""
        with self._loaded(self.catalogue().runs) as store:
            return store.query(text, dict(parameters or {}))

    def variants(self) -> pd.DataFrame:
        """Table with one row per variant."""
        return self.catalogue().variant_table()

    def runs(self) -> pd.DataFrame:
        """Table with one row per run, oldest first."""
        return self.catalogue().run_table()

    def remove(self, name: str) -> int:
        """Remove a variant, its runs and their diffs; returns the number of runs."""
        from circuitgraph.interventions import patching
        from circuitgraph.levels import record as levels
        from circuitgraph.store import tables_of

        catalogue = self.catalogue()
        runs = catalogue.of(name)
        gone = {run.id for run in runs}
        kept = [*self._diffs.files_of(gone), *tables_of(self.path, gone)]
        kept += patching.kept_of(self.transfers_folder, gone)
        kept += levels.files_of(self.path / levels.FOLDER, gone)
        with self.open_store() as store:
            store.remove_variant(name)
        for file in kept:
            file.unlink(missing_ok=True)
        for run in runs:
            discard_run(run)
        forget(self.nulls_folder, gone)
        forget_unused(self.runs_folder, runs, [r for r in catalogue.runs if r.id not in gone])
        return len(runs)

    def edges(self, name: str, kind: EdgeKind | None = None) -> pd.DataFrame:
        """Edges of a variant's newest run of one kind (None: of both)."""
        return self[name].edges(kind)

    def graph(
        self,
        name: str,
        kind: EdgeKind | None = None,
        library: Literal["networkx", "igraph"] = "networkx",
    ) -> Any:
        """The same edges as a graph with signed weights."""
        return self[name].graph(kind, library)
