"""Stored models of families without a reader: the library's own, under hooks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.errors import UsageError
from circuitgraph.engine.batches import in_batches, make_batch
from circuitgraph.engine.bridge.engine import HookedModel
from circuitgraph.engine.bridge.patch import BridgePatch, bridge_patch
from circuitgraph.engine.families import has_reader, read_model
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.engine.native import NativeModel
from circuitgraph.models.stored import BATCH, ModelPair, StoredModel, reencoded, reload, shared_base
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.comparable import require_comparable, require_model
from circuitgraph.runs.record import Run


@dataclass(frozen=True)
class Hooked(StoredModel):
    """A model without a reader; what hooks do not show of its logits stands beside it.

    Attributes
    ----------
    bias : [vocabulary] or None
        Of the unembedding.
    cap : float or None
        Soft cap of the logits.
    """

    bias: Tensor | None = None
    cap: float | None = None

    @cached_property
    def prompts(self) -> tuple[Encoded, ...]:
        """As :attr:`StoredModel.prompts`, where no embedding is in sight."""
        return reencoded(self.run, self.tokenizer)

    def hooked_batches(self) -> Iterator[tuple[list[int], BridgePatch]]:
        """As :meth:`StoredModel.batches`, of patches through hooks."""
        bridge, whole = self.hooked, self.ablated is not None
        spec = EffectSpec(self.spec.granularity, ablated=self.ablated)
        for rows in in_batches(self.prompts, self.spec.ablation, BATCH):
            batch = make_batch([self.prompts[i] for i in rows], whole=whole, border=bridge.border)
            patch = bridge_patch(bridge, batch, spec)
            self.require_same_decisions(rows, patch.base.numpy())
            yield rows, patch

    @property
    def hooked(self) -> HookedModel:
        """The engine, as what it is."""
        engine: object = self.engine
        assert isinstance(engine, HookedModel)
        return engine

    @property
    def shapes(self) -> list[Any]:
        return [(name, x.shape) for name, x in self.hooked.hooked.named_parameters()]


@dataclass(frozen=True)
class HookedPair(ModelPair):
    """Two models without a reader."""

    def shared_base(self) -> NativeModel | None:
        base = shared_base(self.a.run.variant, self.b.run.variant)
        return None if base is None else opened(replace(self.a.run, variant=base), "").engine


def opened(run: Run, command: str, untied: bool = False) -> StoredModel:
    """The model of a run, of any family that can be measured.

    Parameters
    ----------
    run
        Of a model in files, or with a reader.
    command
        Named in messages.
    untied
        Without a reader, give the unembedding a matrix of its own, as readers do.

    Raises
    ------
    UsageError
        A table; a model in memory of a family without a reader.
    InputError
        The files are gone or no longer the same.
    """
    require_model(run.variant)
    if has_reader(run.variant.model_type):
        return StoredModel.open(run, command)
    _require_files(run, command)
    hf, tokenizer = reload(run.variant)
    ends, probe = hf.get_output_embeddings(), torch.tensor([reencoded(run, tokenizer)[0].prompt])
    if untied and ends is not None:
        ends.weight = torch.nn.Parameter(ends.weight.detach().clone())
    bias = None if ends is None or getattr(ends, "bias", None) is None else ends.bias.detach()
    cap = getattr(hf.config, "final_logit_softcapping", None) or None
    engine = read_model(hf, tokenizer, run.variant.base, probe)
    return Hooked(run, engine, tokenizer, bias=bias, cap=cap)  # type: ignore[arg-type]


def _require_files(run: Run, command: str) -> None:
    if run.variant.in_memory:
        raise UsageError(
            f"{command}: model type {run.variant.model_type!r} has no reader of ours, and hooks "
            "need such a model in files; save it with ``save_pretrained`` and ingest the folder"
        )


def opened_pair(a: Run, b: Run, command: str, untied: bool = False) -> ModelPair:
    """As :meth:`ModelPair.open`, of any family; see :func:`opened`."""
    if all(has_reader(run.variant.model_type) for run in (a, b)):
        return ModelPair.open(a, b, command)
    for run in (a, b):
        require_model(run.variant)
        _require_files(run, command)
    return HookedPair(*(opened(run, command, untied) for run in (a, b)))


def alike_pair(
    a: Run, b: Run, command: str, keys: Collection[str], untied: bool = False
) -> ModelPair:
    """As :meth:`ModelPair.alike`, of any family; see :func:`opened`."""
    if all(has_reader(run.variant.model_type) for run in (a, b)):
        return ModelPair.alike(a, b, command, keys)
    require_comparable([a, b], keys)
    pair = opened_pair(a, b, command, untied)
    pair.require_same_shapes()
    pair.require_same_tokens()
    return pair
