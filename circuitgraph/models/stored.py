"""The models of stored runs, checked before long work and loaded again with their prompts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from circuitgraph.base.components import EdgeSpec
from circuitgraph.base.errors import InputError, quoted
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.engine.ablation import ablated_contributions
from circuitgraph.engine.batches import in_batches, make_batch
from circuitgraph.engine.families import from_hf, require_one_mlp, require_reader
from circuitgraph.engine.model import Experts, Model
from circuitgraph.engine.native import NativeModel
from circuitgraph.engine.patch import Patch, make_patch
from circuitgraph.models.devices import on_device, require_there
from circuitgraph.models.memory import recalled, require_held
from circuitgraph.models.variants import fingerprints, load_variant, model_folder, tokenizer_folder
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.template import Moment
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.prompts.tokens import Encoded, encode
from circuitgraph.runs.comparable import (
    ONE_BUILD,
    TOKENS,
    incomparable,
    require_comparable,
    require_model,
)
from circuitgraph.runs.identity import tokens_of
from circuitgraph.runs.record import Run, Variant

BATCH = 16
"""Prompts at once where models are measured again; changes speed and memory, never results."""

TOLERANCE = 1e-3
"""Nats by which the clean decision may differ from the one stored, per nat of the largest."""


@dataclass(frozen=True)
class StoredModel:
    """The model of a run (its adapter merged), with the run's prompts and method.

    ``resources``: where it is measured, and within what memory.
    """

    run: Run
    engine: NativeModel
    tokenizer: Any
    resources: Resources = USUAL

    @classmethod
    def open(cls, run: Run, command: str, resources: Resources = USUAL) -> StoredModel:
        """Load the model of a run; ``command`` is named in messages.

        Raises
        ------
        UsageError
            A table, a family without a reader, or a device that is not there.
        InputError
            The files are gone or changed.
        """
        require_there(resources.device)
        require_readable([run], command)
        hf, tokenizer = reload(run.variant)
        return cls(run, on_device(from_hf(hf), resources.device), tokenizer, resources)

    def asked(self, run: Run) -> StoredModel:
        """The same model with the prompts and the method of another run."""
        return replace(self, run=run)

    @property
    def spec(self) -> EdgeSpec:
        return self.run.method.spec

    @cached_property
    def prompts(self) -> tuple[Encoded, ...]:
        """The prompts of the run as token ids, in its order; raises as :func:`reencoded`."""
        return reencoded(self.run, self.tokenizer, rows=len(self.engine.embed))

    @property
    def shapes(self) -> list[Any]:
        """Shapes of all its weights, in one order for all models of a build."""
        positions = self.engine.positions
        learnt = [] if positions is None else [positions.shape]
        return [*learnt, *(matrix.shape for matrix in matrices(self.engine))]

    @cached_property
    def ablated(self) -> torch.Tensor | None:
        """Replacement of every sender's contribution [1 + components, d]; None for corrupt."""
        spec = self.spec
        return ablated_contributions(self.engine, self.prompts, spec.granularity, spec.ablation)

    def batches(self, size: int = BATCH) -> Iterator[tuple[list[int], Patch]]:
        """Rows of the run, and a patch of their prompts, batch by batch.

        Raises
        ------
        InputError
            The model's decisions differ from those stored.
        """
        for rows in in_batches(self.prompts, self.spec.ablation, size):
            chosen, whole = [self.prompts[i] for i in rows], self.ablated is not None
            batch = make_batch(chosen, whole=whole, border=self.engine.border)
            batch = on_device(batch, self.resources.device)
            patch = make_patch(self.engine, batch, self.spec.granularity, self.ablated)
            self.require_same_decisions(rows, patch.base.cpu().numpy())
            yield rows, patch

    def require_same_decisions(self, rows: Sequence[int], now: np.ndarray) -> None:
        """Refuse (InputError) a model whose decisions [rows] are not those stored."""
        stored = self.run.arrays["decisions"]
        apart = float(np.abs(stored[rows] - now).max())
        if not apart <= TOLERANCE * max(1.0, float(np.abs(stored).max())):
            raise InputError(
                f"run {self.run.id[:12]}: {quoted(self.run.variant.name)} decides otherwise than "
                f"when it was ingested (by up to {apart:.1e} nats); ingest it again with the "
                "libraries of today"
            )


@dataclass(frozen=True)
class ModelPair:
    """The models of two runs, A and B."""

    a: StoredModel
    b: StoredModel

    @classmethod
    def open(cls, a: Run, b: Run, command: str, resources: Resources = USUAL) -> ModelPair:
        """Load both; raises as :meth:`StoredModel.open`, before the first is loaded."""
        require_there(resources.device)
        require_readable([a, b], command)
        return cls(*(StoredModel.open(run, command, resources) for run in (a, b)))

    @classmethod
    def alike(
        cls,
        a: Run,
        b: Run,
        command: str,
        keys: Collection[str],
        resources: Resources = USUAL,
    ) -> ModelPair:
        """The same for runs that agree in ``keys`` of their methods and in their prompts.

        Raises
        ------
        UsageError, InputError
            As :meth:`StoredModel.open`; or the runs differ in a key, the shape of a matrix, the
            tokens of a prompt.
        """
        require_readable([a, b], command)
        require_comparable([a, b], keys)
        pair = cls.open(a, b, command, resources)
        pair.require_same_shapes()
        pair.require_same_tokens()
        return pair

    def of(self, run: Run) -> StoredModel | None:
        """The model of a run, if it is one of the two."""
        return next((model for model in (self.a, self.b) if model.run.id == run.id), None)

    @property
    def engines(self) -> tuple[NativeModel, NativeModel]:
        return self.a.engine, self.b.engine

    def shared_base(self) -> NativeModel | None:
        """The base that both are adapters of, loaded; None where they share none."""
        base = shared_base(self.a.run.variant, self.b.run.variant)
        return None if base is None else from_hf(reload(base)[0])

    def require_same_shapes(self) -> None:
        """Refuse (UsageError) weights of different shapes; an architecture allows any width."""
        if self.a.shapes != self.b.shapes:
            variants = self.a.run.variant, self.b.run.variant
            raise incomparable(*variants, "their weights have different shapes", ONE_BUILD)

    def require_same_tokens(self) -> None:
        """Refuse (UsageError) tokenizers that read the prompts otherwise."""
        ids, again = (
            [(p.prompt, p.corrupt, p.sides) for p in model.prompts] for model in (self.a, self.b)
        )
        if ids != again:
            why = f"their tokenizers differ in {TOKENS}, so both are not asked the same"
            instead = "compare variants of one tokenizer"
            raise incomparable(self.a.run.variant, self.b.run.variant, why, instead)


def shared_base(first: Variant, second: Variant) -> Variant | None:
    """The base that both are adapters of; None where they share none."""
    if not (first.adapter and second.adapter) or first.base != second.base:
        return None
    bare = {k: v for k, v in first.fingerprints.items() if k != "adapter"}
    return replace(first, adapter="", fingerprints=bare)


def matrices(model: Model) -> Iterator[torch.Tensor]:
    """All weight matrices, embeddings first; those of experts stacked."""
    yield model.embed
    yield model.unembed
    for block in model.blocks:
        attention, mlp = block.attention, block.mlp
        own = (attention.q, attention.k, attention.v, attention.out)
        yield from (linear.weight for linear in own)
        if isinstance(mlp, Experts):
            yield from (mlp.router, mlp.gate, mlp.up, mlp.down)
        else:
            yield from (x.weight for x in (mlp.gate, mlp.up, mlp.down) if x is not None)


def reload(variant: Variant) -> tuple[Any, Any]:
    """The library's merged model and tokenizer of a stored variant.

    Raises
    ------
    InputError
        Its files (or the model in memory) are gone or changed.
    """
    if variant.in_memory:
        again = recalled(variant)
        return again.merged(), again.tokenizer
    loaded = load_variant(variant.base, variant.adapter or None, name=variant.name)
    if not loaded.variant.same_files(variant):
        raise InputError(
            f"variant {quoted(variant.name)}: the files in {variant.base} are no longer those "
            "ingested; remove the variant and ingest it again"
        )
    return loaded.merged(), loaded.tokenizer


def tokenizer_of(variant: Variant) -> Any:
    """The library's tokenizer of a stored variant, without loading a model from files."""
    if variant.in_memory:
        return recalled(variant).tokenizer
    adapter = Path(variant.adapter) if variant.adapter else None
    return load_tokenizer(tokenizer_folder(model_folder(variant.base), adapter))


def reencoded(run: Run, tokenizer: Any, rows: int | None = None) -> tuple[Encoded, ...]:
    """A run's prompts, corrupt prompts and answers as token ids, in its order.

    Raises
    ------
    InputError
        The tokenizer or the template gives other tokens now, or one from ``rows`` on, which has
        no embedding.
    """
    names = {field.name for field in fields(Prompt)}
    texts = []
    for prompt in run.prompts:
        values = {name: value for name, value in asdict(prompt).items() if name in names}
        texts.append(Prompt(**values | {"prompt": prompt.prompt or ""}))
    source = PromptSet(tuple(texts), f"the prompts of run {run.id[:12]}")
    chat, moment = run.method.template == "chat", Moment.of_run(run.rendered)
    again = encode(source, tokenizer, chat_template=chat, moment=moment, rows=rows).prompts
    _require_as_read(run, again)
    return again


def _require_as_read(run: Run, again: Sequence[Encoded]) -> None:
    activity = run.method.activity
    for prompt, encoded in zip(run.prompts, again, strict=True):
        if prompt.tokens not in (None, tokens_of(encoded, run.kind, activity)):
            raise InputError(
                f"prompt {quoted(prompt.id)} of run {run.id[:12]} has other tokens than when it "
                f"was ingested: the tokenizer or chat template of {quoted(run.variant.name)} was "
                "changed; restore it, or ingest again"
            )


def require_readable(runs: Sequence[Run], command: str) -> None:
    """Refuse tables and families without a reader, and models no longer in memory."""
    for run in runs:
        require_model(run.variant)
        if run.variant.in_memory:
            require_held(run.variant)
        require_reader(run.variant.model_type, command)


def require_sources(runs: Sequence[Run]) -> None:
    """Refuse runs whose models the wiring lens cannot load.

    Raises
    ------
    UsageError
        As :func:`require_readable`; a mixture of experts.
    InputError
        Files that are gone, or no longer those ingested.
    """
    require_readable(runs, "wiring")
    for run in runs:
        require_one_mlp(run.variant.model_type, "wiring")
    variants = {run.variant.id: run.variant for run in runs}
    for variant in variants.values():
        _require_files(variant)


def _require_files(variant: Variant) -> None:
    if variant.in_memory:
        return  # asked for above
    adapter = Path(variant.adapter) if variant.adapter else None
    found = fingerprints(variant.base, adapter)
    changed = [part for part in found if found[part] != variant.fingerprints.get(part)]
    if changed:
        raise InputError(
            f"variant {quoted(variant.name)}: the {changed[0]} in "
            f"{variant.adapter if changed[0] == 'adapter' else variant.base} are no longer those "
            "ingested; remove the variant and ingest it again"
        )
