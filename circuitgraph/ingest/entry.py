"""Ingest of a model variant, a table or a circuit file under a free name, with its remarks."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from circuitgraph.base.errors import UsageError, quoted, short
from circuitgraph.base.progress import Reporter
from circuitgraph.ingest.cluster.address import require_cluster
from circuitgraph.ingest.reading import text_notes
from circuitgraph.ingest.request import Request
from circuitgraph.models.folders import require_places
from circuitgraph.prompts import PromptSet, read_prompts
from circuitgraph.prompts.reader import Source
from circuitgraph.runs.catalogue import RunCatalogue, require_name
from circuitgraph.runs.record import Run, Variant, write_run
from circuitgraph.stats.evidence import LITTLE_MASS, MOVES


def remark_on(prompts: PromptSet, kinds: Sequence[str], asked: bool, reporter: Reporter) -> None:
    """Remark on columns not read and on effects that cannot be measured.

    ``asked``: the user chose these edge kinds.
    """
    if prompts.misspelt:
        reporter.warn(f"{prompts.source}: {prompts.misspelt}")
    others = [name for name, meant in prompts.unread if not meant]
    if others:
        reporter.remark(f"{prompts.source}: columns not read: {', '.join(map(repr, others))[:300]}")
    if "effect" not in kinds and not asked:
        reporter.remark(f"effects are not measured: {prompts.source} has no {prompts.lacking}")


def decided(run: Run) -> list[str]:
    """The variant's decisions and their change under corruption: two lines, or none."""
    if "decisions" not in run.arrays:
        return []
    name = f"{quoted(run.variant.name)}"
    prefers = int((np.asarray(run.arrays["decisions"]) > 0).sum())
    lines = [f"{name} prefers the answer on {_share(prefers, run.n)}"]
    if "mass" in run.arrays:
        mass = float(np.mean(run.arrays["mass"]))
        lines[0] += f"; both answers together carry {mass:.0%} of the probability"
        if mass < LITTLE_MASS:
            lines[0] += ": mostly it would say something else"
    totals = np.asarray(run.arrays["totals"], np.float64)
    moved = int((np.abs(totals) >= MOVES).sum())
    average, size = totals.mean(), np.abs(totals).mean()
    return [
        *lines,
        f"{_ABLATIONS.get(run.method.ablation, 'corruption')} changes the decision by "
        f"{size:.2f} nats on average ({average:+.2f} with its sign), by {MOVES} or more on "
        f"{_share(moved, run.n)}"
        + (": where nothing moves, there is no effect to find" if moved < run.n / 2 else ""),
    ]


_ABLATIONS = {"mean": "mean ablation of everything", "zero": "zero ablation of everything"}


def _share(count: int, of: int) -> str:
    return f"{count} of {of} prompts ({count / of:.0%})"


def take_model(
    model: Any,
    adapter: str | None,
    name: str,
    recipe: str,
    prompts: Source,
    options: dict[str, Any],
    catalogue: RunCatalogue,
    runs_folder: Path,
    reporter: Reporter,
    tokenizer: Any = None,
) -> list[Run]:
    """Measure one variant; its model is released before this returns.

    Parameters
    ----------
    model : Any
        A folder or hub name, or a model in memory (see ``models.memory``).
    options : dict
        Of ``ingest.jobs.Request``.

    Raises
    ------
    InputError, UsageError
        Before any long work.
    """
    require_name(name)
    require_cluster(options.get("ray"))  # before torch is loaded, which takes seconds
    read = read_prompts(prompts)
    request = Request(**options)
    remark_on(read, request.kinds_for(read), request.kinds is not None, reporter)
    recipe = known_recipe(catalogue, name, recipe)
    if isinstance(model, str):
        require_places(model, adapter)
        if tokenizer is not None:
            raise UsageError("``tokenizer``: a folder has its own; leave it out")
    else:
        _require_alone(adapter, options)
    with reporter.progress(1, f"loading {short(name, 40)}", "model"):
        loaded = _loaded(model, adapter, name, recipe, request, reporter, tokenizer)
    if loaded.variant.quantisation:
        reporter.remark(f"{loaded.variant.quantisation} weights, dequantised to float32")
    loaded = _as_known(catalogue, loaded)
    require_same(catalogue, loaded.variant)
    notes = text_notes(read, loaded.tokenizer, request.chat_template)
    from circuitgraph.ingest.models import ingest_model

    runs = ingest_model(loaded, read, request, runs_folder, reporter, notes)
    del loaded
    gc.collect()  # transformers models contain reference cycles; free this one now
    for line in (line for run in runs for line in decided(run)):
        reporter.remark(line)
    return runs


def _loaded(
    model: Any,
    adapter: str | None,
    name: str,
    recipe: str,
    request: Request,
    reporter: Reporter,
    tokenizer: Any,
) -> Any:
    """The variant in memory; importing what loads it takes longer than a small model does."""
    from circuitgraph.models.devices import require_there
    from circuitgraph.models.memory import load_held
    from circuitgraph.models.variants import load_variant

    require_there(request.device)
    told: dict[str, Any] = {"name": name, "recipe": recipe, "granularity": request.granularity}
    if isinstance(model, str):
        return load_variant(model, adapter, **told, reporter=reporter)
    return load_held(model, tokenizer, **told)


def _require_alone(adapter: str | None, options: dict[str, Any]) -> None:
    """Refuse (UsageError) options of models in files."""
    if adapter is not None:
        raise UsageError(
            "``adapter``: of a model in memory, put it on there and give the PeftModel: "
            "PeftModel.from_pretrained(model, folder)"
        )
    if options.get("ray") is not None:
        raise UsageError("``ray``: its workers load models from files; save it and give the folder")


def _as_known(catalogue: RunCatalogue, loaded: Any) -> Any:
    """Files ingested before keep their fingerprint, whatever this machine's rounding."""
    known = catalogue.variants().get(loaded.variant.name)
    if known is None or not known.same_files(loaded.variant):
        return loaded
    prints = {"fingerprint": known.fingerprint, "fingerprints": known.fingerprints}
    return replace(loaded, variant=replace(loaded.variant, **prints))


def take_table(
    path: str | os.PathLike[str], name: str, recipe: str, catalogue: RunCatalogue, runs_folder: Path
) -> Run:
    """Ingest an activation table as one variant's correlation run."""
    from circuitgraph.ingest.tables.files import table_run
    from circuitgraph.ingest.tables.table import read_table

    require_name(name)
    run = table_run(read_table(path), name, known_recipe(catalogue, name, recipe))
    require_same(catalogue, run.variant)
    runs_folder.mkdir(parents=True, exist_ok=True)
    return write_run(run, runs_folder)


def take_circuit(
    path: str | os.PathLike[str], name: str, recipe: str, catalogue: RunCatalogue, runs_folder: Path
) -> Run:
    """Ingest a circuit file as one variant's effect run; the file is kept beside it."""
    from circuitgraph.ingest.tables.files import circuit_run
    from circuitgraph.runs.circuit_file import KEPT, as_bytes, read_circuit

    require_name(name)
    circuit = read_circuit(Path(path))
    run = circuit_run(circuit, name, known_recipe(catalogue, name, recipe), str(path))
    require_same(catalogue, run.variant)
    runs_folder.mkdir(parents=True, exist_ok=True)
    return write_run(run, runs_folder, {KEPT: as_bytes(circuit.content)})


def as_kinds(edges: str | Sequence[str] | None) -> Any:
    """Edge kinds, each once; ``UsageError`` for none, or an unknown one."""
    if edges is None:
        return None
    edges = [edge.strip() for edge in edges.split(",")] if isinstance(edges, str) else edges
    unknown = [kind for kind in edges if kind not in ("correlation", "effect")]
    if unknown or not edges:
        raise UsageError(f"``edges={','.join(edges)}``: choose correlation, effect or both")
    return tuple(dict.fromkeys(edges))


def known_recipe(catalogue: RunCatalogue, name: str, recipe: str) -> str:
    """The recipe of a known name, or the one given; ``UsageError`` where they differ."""
    known = catalogue.variants().get(name)
    if known is None or recipe in ("", known.recipe):
        return known.recipe if known is not None else recipe
    raise UsageError(
        f"the name {quoted(name)} already stands for a variant of recipe "
        f"{quoted(known.recipe)}; choose another name, or free it: circuitgraph remove NAME"
    )


def require_same(catalogue: RunCatalogue, variant: Variant) -> None:
    """Refuse (UsageError) other weights, or another tokenizer, under a name that is taken."""
    known = catalogue.variants().get(variant.name)
    if known is None:
        return
    words = [v.fingerprints.get("tokenizer") for v in (known, variant)]
    if known.fingerprint != variant.fingerprint or words[0] != words[1]:
        what = "other weights or values" if words[0] == words[1] else "another tokenizer"
        raise UsageError(
            f"the name {quoted(variant.name)} already stands for {what}; "
            "choose another name, or free it with: circuitgraph remove NAME"
        )
