"""A run: one ingest of one variant on one prompt set for one edge kind, as kept on disk.

A run is a folder ``runs/<run id>/`` with ``run.json`` (keys, fingerprints, versions),
``prompts.jsonl`` (a copy) and one ``arrays.safetensors``. It appears under its final
name only when whole. No torch is imported: tables and diffs must not wait for it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from circuitgraph.base.atomic import sync, write_atomic
from circuitgraph.base.components import Edge, EdgeSpec, digest
from circuitgraph.base.errors import InputError, quoted
from circuitgraph.base.notebook import Facts
from circuitgraph.base.wellformed import known, save_arrays, shaped, typed
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.runs.artefacts import keep_by_edge, read_by_edge
from circuitgraph.runs.conventions_file import Signs, read_signs
from circuitgraph.runs.parsed import description_of, prompts_of

FORMAT = 2
"""2: prompts are known by their token ids; ids of format 1 rest on texts."""
IN_MEMORY = "(in memory)"
"""Stands for the path of a model that was ingested from memory."""
CONFIRMED = "exact.safetensors"
"""Exact effects of some edges of a screened run, measured when a diff needed them."""
WEIGHTS = "weights.json"
"""What a run keeps of its model's weights; see ``updates.sketch``."""


@dataclass(frozen=True)
class Variant(Facts):
    """One model under study, or the source of one activation table.

    Attributes
    ----------
    name : str
    recipe : str
        Shared by variants trained alike with other seeds; "" for none.
    base, adapter : str
        Paths ("" for tables, or no adapter; ``IN_MEMORY`` for models without files).
    architecture : str
        Hash of model type, layers, heads, key/value heads, granularity, shared by all variants
        with the same components; or ``table``.
    model_type : str
        transformers' name of the family, or ``table``.
    layers, heads, kv_heads, parameters : int
        0 for tables.
    fingerprint : str
        Hash over the merged float32 weights and the settings in ``config.json`` that matter:
        equal for a base with its adapter and for the two saved as one (tables: the values).
    fingerprints : mapping
        ``merged``, of those weights alone; and hashes of files: ``weights`` (of the base),
        ``adapter``, ``tokenizer``.
    quantisation : str
        Format of the base's file (``Q4_1``, ``bitsandbytes nf4``), dequantised to float32; "".
    """

    name: str
    recipe: str
    base: str
    adapter: str
    architecture: str
    model_type: str
    layers: int
    heads: int
    kv_heads: int
    parameters: int
    fingerprint: str
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    quantisation: str = ""

    def __repr__(self) -> str:
        made = f"{self.model_type}, {self.layers} layers" if self.base else "table"
        of = f", recipe {quoted(self.recipe)}" if self.recipe else ""
        return f"Variant({quoted(self.name)}, {made}{of})"

    @property
    def id(self) -> str:
        """Key of the variant in every graph."""
        return digest("variant", self.name)

    @property
    def in_memory(self) -> bool:
        return self.base == IN_MEMORY

    def same_files(self, other: Variant) -> bool:
        """Whether both were read from the same files.

        Another machine may merge them to another fingerprint, by rounding.
        """
        files = [{k: v for k, v in x.fingerprints.items() if k != "merged"} for x in (self, other)]
        return files[0] == files[1]


@dataclass(frozen=True)
class Method:
    """The keys that must agree before two runs may be compared.

    Attributes
    ----------
    kind : {"correlation", "effect"}
    estimator : str
        ``exact`` …, ``imported`` for circuit files; "" for correlations.
    steps : int
        0 where the estimator has none.
    inputs : {"joint", "split", ""}
    granularity : {"head", "layer", "table"}
    activity : {"norm", "projection", "table", ""}
    ablation : {"corrupt", "mean", "zero", ""}
    decision : str
        How the decision is measured; "" where there is none.
    template : {"chat", ""}
    bos : {"added", "present", "none", ""}
    """

    kind: str
    estimator: str = ""
    steps: int = 0
    inputs: str = ""
    granularity: str = "head"
    activity: str = ""
    ablation: str = ""
    decision: str = ""
    template: str = ""
    bos: str = ""
    dtype: str = "float32"

    @property
    def spec(self) -> EdgeSpec:
        """Which edges are measured, as typed values; raises ValueError for a table."""
        return EdgeSpec.of(self.granularity, self.inputs, self.ablation)


@dataclass(frozen=True)
class Run(Facts):
    """One finished ingest; arrays are read when first used.

    Attributes
    ----------
    id : str
        Hash of the variant's name and fingerprint, the prompts and the method.
    prompts : tuple of RunPrompt
        Distinct prompts in canonical order, the rows of every array.
    prompts_fingerprint : str
        Hash over the prompts' token ids, independent of their order and spelling.
    components, edges : tuple
        Columns of ``activity``, or of ``effects``, in order of computation.
    prompt_set : str
        Hash of the texts in the file; "" for tables.
    rendered : mapping
        With a chat template; see ``tokens.EncodedSet``.
    signs : Signs, optional
        Of effects, as recorded for the prompt set; None outside of a workspace.
    """

    id: str
    variant: Variant
    method: Method
    prompts: tuple[RunPrompt, ...]
    prompts_fingerprint: str
    duplicates: int
    components: tuple[str, ...]
    edges: tuple[Edge, ...]
    self_check: Mapping[str, Any]
    versions: Mapping[str, str]
    seed: int
    created: str
    path: Path | None = None
    prompt_set: str = ""
    rendered: Mapping[str, str] = field(default_factory=dict)
    signs: Signs | None = None
    _arrays: Mapping[str, np.ndarray] | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        size = f"{len(self.edges)} edges" if self.edges else f"{len(self.components)} components"
        name = quoted(self.variant.name)
        return f"Run({self.id[:12]}, {name}, {self.kind}, {self.n} prompts, {size})"

    @property
    def kind(self) -> str:
        return self.method.kind

    @property
    def imported(self) -> bool:
        """Whether it came from a circuit file: one number an edge, no prompts, no model."""
        return self.method.estimator == "imported"

    @property
    def n(self) -> int:
        """Number of prompts (rows)."""
        return len(self.prompts)

    @cached_property
    def observed(self) -> tuple[int, ...]:
        """The first prompt of every observation: an exchanged pair is one."""
        first: dict[str | int, int] = {}
        for i, prompt in enumerate(self.prompts):
            first.setdefault(prompt.pair or i, i)
        return tuple(first.values())

    @property
    def n_observations(self) -> int:
        return len(self.observed)

    @cached_property
    def scenarios(self) -> np.ndarray:
        """Scenario of every prompt as an integer code, in order of first appearance."""
        codes: dict[str, int] = {}
        return np.array([codes.setdefault(p.scenario, len(codes)) for p in self.prompts], dtype=int)

    @property
    def n_scenarios(self) -> int:
        """Number of scenarios of the observations."""
        return len({self.prompts[i].scenario for i in self.observed})

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """All arrays by name.

        Correlation runs hold ``activity`` [prompts × components]. Effect runs hold
        ``effects`` [prompts × edges] (raw, in the decision's units), and per prompt
        ``totals``, ``decisions`` (clean) and ``mass`` (probability of both answers).
        """
        return self._arrays if self._arrays is not None else _load_arrays(self)

    @property
    def activity(self) -> np.ndarray:
        """float32 [prompts × components]."""
        return self.arrays["activity"]

    @property
    def effects(self) -> np.ndarray:
        """Raw effects, float32 [prompts × edges]."""
        return self.arrays["effects"]

    @property
    def totals(self) -> np.ndarray:
        """decision(corrupt) − decision(clean), float32 [prompts]."""
        return self.arrays["totals"]

    def beside(self, name: str) -> Path | None:
        """Path of a file kept beside the arrays; None for a run that was never written."""
        return None if self.path is None else self.path / name


def _load_arrays(run: Run) -> dict[str, np.ndarray]:
    if run.path is None:
        raise InputError(f"run {run.id[:12]} has no arrays: it was never written")
    file = run.path / "arrays.safetensors"
    try:
        kind = "circuit" if run.imported else run.kind
        return shaped(load_file(file), kind, run.n, len(run.edges or run.components))
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(
            f"{file}: the arrays of run {run.id[:12]} cannot be read ({error}); "
            f"remove the folder {run.path} and ingest {run.variant.name!r} again"
        ) from error


def read_confirmed(run: Run) -> dict[int, np.ndarray]:
    """Exact effects [n] of the edges of a screened run that were measured exactly, by column."""
    return {edge: own["effects"] for edge, own in read_by_edge(run.beside(CONFIRMED)).items()}


def keep_confirmed(run: Run, effects: Mapping[int, np.ndarray]) -> None:
    """Add exact effects [n, float32] of edges, by column, to those kept beside a screened run."""
    keep_by_edge(run.beside(CONFIRMED), {c: {"effects": own} for c, own in effects.items()})


def write_run(run: Run, runs_folder: Path, beside: Mapping[str, bytes] | None = None) -> Run:
    """Write a run to ``runs_folder/<id>/`` atomically; a run already there is kept.

    The folder is filled under another name, with further files ``beside``, and renamed when whole.
    """
    final = runs_folder / run.id
    if final.is_dir():
        return read_run(final)
    partial = runs_folder / f".{run.id}.{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    lines = "".join(json.dumps(asdict(p), ensure_ascii=True) + "\n" for p in run.prompts)
    try:
        save_arrays(run.arrays, partial / "arrays.safetensors")
        sync(partial / "arrays.safetensors")
        write_atomic(partial / "prompts.jsonl", lines.encode("ascii"))
        write_atomic(partial / "run.json", _to_json(run).encode("ascii"))
        for name, data in (beside or {}).items():
            write_atomic(partial / name, data)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    try:
        os.rename(partial, final)
    except OSError:
        if not final.is_dir():
            raise
        shutil.rmtree(partial)
    sync(runs_folder)
    return read_run(final)


def discard_run(run: Run) -> None:
    """Remove a run's folder; it is renamed first, so that no half of it is ever listed."""
    if run.path is None:
        return
    hidden = run.path.with_name(f".{run.id}.removed")
    shutil.rmtree(hidden, ignore_errors=True)
    os.rename(run.path, hidden)
    for kept in run.path.parent.glob(f"*/*-{run.id}.*"):  # what other runs keep of a pair with it
        kept.unlink(missing_ok=True)
    shutil.rmtree(hidden)


_PLAIN = (
    *("prompts_fingerprint", "prompt_set", "rendered", "duplicates", "components", "edges"),
    *("self_check", "versions", "seed", "created"),
)


def _to_json(run: Run) -> str:
    record: dict[str, Any] = {"format": FORMAT, "id": run.id}
    record |= {"variant": asdict(run.variant), "method": asdict(run.method)}
    record |= {name: getattr(run, name) for name in _PLAIN}
    return json.dumps(record, ensure_ascii=True, indent=1)


def read_run(folder: Path) -> Run:
    """Read a run's description; its arrays are read when first used.

    Raises
    ------
    InputError
        A file of the run is missing or damaged.
    """
    try:
        record, edges = description_of((folder / "run.json").read_text("ascii"))
        prompts = prompts_of((folder / "prompts.jsonl").read_text("ascii"))
        signs = read_signs(folder.parent, record)
        if record.pop("format") != FORMAT:
            raise ValueError("written by another version of circuitgraph")
        run = Run(
            variant=typed(Variant(**record.pop("variant"))),
            method=known(typed(Method(**record.pop("method")))),
            prompts=prompts,
            components=tuple(record.pop("components")),
            edges=edges,
            path=folder,
            signs=signs,
            **record,
        )
        if run.id != folder.name:
            raise ValueError("its id is not the name of its folder")
        return typed(run)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        why = f"this run cannot be read ({error}); remove the folder and ingest again"
        raise InputError(f"{folder / 'run.json'}: {why}") from error


def now() -> str:
    """The time as ISO text in UTC, to the microsecond, so that one run is the newest."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def run_id(variant: Variant, method: Method, prompts_fingerprint: str) -> str:
    """Hash of all that a run's numbers depend on: never batch size, device or time."""
    return digest("run", variant.name, variant.fingerprint, prompts_fingerprint, asdict(method))


def list_runs(runs_folder: Path) -> list[Run]:
    """Every whole run of a workspace, oldest first, ties broken by id."""
    if not runs_folder.is_dir():
        return []
    found = [read_run(p) for p in runs_folder.iterdir() if p.is_dir() and p.name[0] != "."]
    return sorted(found, key=lambda run: (run.created, run.id))
