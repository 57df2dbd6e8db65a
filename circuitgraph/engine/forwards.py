"""One way in for both forwards: ours where a family has a reader, the library's elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.engine import estimators
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.bridge.boot import boot, refusal
from circuitgraph.engine.bridge.checks import TOLERANCE, worst
from circuitgraph.engine.bridge.effects import bridge_effects, decisions_of
from circuitgraph.engine.bridge.parts import bridge_contributions
from circuitgraph.engine.bridge.wrapped import Bridge, logits_of, trace_of
from circuitgraph.engine.contributions import contributions
from circuitgraph.engine.decision import answer_mass, decide
from circuitgraph.engine.estimators import STEPS, Effects, Estimator
from circuitgraph.engine.families import FAMILIES, from_hf
from circuitgraph.engine.forward import forward, logits
from circuitgraph.engine.model import Model, Norm
from circuitgraph.engine.patch import CHUNK_ROWS

AnyModel = Model | Bridge


def has_reader(family: str) -> bool:
    """Whether the engine itself reads models of this ``model_type``."""
    return family in FAMILIES


def require_estimator(family: str, estimator: str) -> None:
    """Refuse what hooks cannot estimate.

    Raises:
        UsageError: a family without a reader, and not ``exact`` (which ``auto`` is there).
    """
    if not has_reader(family) and estimator not in ("auto", "exact"):
        raise UsageError(
            f"estimator {estimator!r}: model type {family!r} has no reader, and hooks on "
            "TransformerBridge measure exact effects only; use --estimator exact"
        )


def require_reader(family: str, command: str) -> None:
    """Refuse, before anything is loaded, what hooks do not do.

    Raises:
        UsageError: a family without a reader.
    """
    if not has_reader(family):
        known = ", ".join(sorted(FAMILIES))
        raise UsageError(
            f"{command}: model type {family!r} has no reader of ours, and hooks on "
            f"TransformerBridge serve ingest and diff only; {command} takes {known}"
        )


def read_model(hf: Any, tokenizer: Any, folder: str, probe: Tensor) -> AnyModel:
    """The engine's model where its family has a reader, else the library's bridge.

    Args:
        hf: the library's model, float32, adapters merged.
        folder: where it was loaded from.
        probe: a prompt [1, T], to see how blocks are wired.

    Raises:
        InputError: a family that neither can measure.
    """
    if has_reader(hf.config.model_type):
        return from_hf(hf)
    return boot(hf, tokenizer, folder, probe)


def check_parts(model: AnyModel, folder: str, probes: Sequence[Tensor]) -> float | None:
    """How far a bridge's parts are from being all there is (relative); None for the engine.

    Args:
        probes: prompts [1, T]; all questions are asked of the first, sums of all.

    Raises:
        InputError: a family whose effects would be wrong numbers.
    """
    if not isinstance(model, Bridge):
        return None
    apart, meaning = worst(model, probes)
    if not apart <= TOLERANCE:
        raise refusal(folder, model.family, f"{meaning} (off by {apart:.1e})")
    return apart


@torch.no_grad()
def model_logits(model: AnyModel, tokens: Tensor, ends: Tensor | None = None) -> Tensor:
    """Logits [R, T, V] of right-padded token ids [R, T]; see ``forward`` for ``ends``."""
    if isinstance(model, Bridge):
        with model.rows(ends):
            return logits_of(model.hooked, tokens)
    return logits(model, forward(model, tokens, ends).final)


@torch.no_grad()
def parts_at(
    model: AnyModel,
    tokens: Tensor,
    index: Tensor,
    granularity: Granularity,
    ends: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Contributions [1 + components, R, W, d] and final stream [R, W, d] at positions [R, W]."""
    if isinstance(model, Bridge):
        with model.rows(ends):
            seen = trace_of(model.hooked, model.layers, tokens)
        return bridge_contributions(model, seen, index, granularity), gather(seen.final, index)
    trace = forward(model, tokens, ends)
    return contributions(model, trace, index, granularity), gather(trace.final, index)


def read_out(model: AnyModel) -> tuple[Norm, Tensor]:
    """The final norm and the unembedding [vocabulary × width] that make logits of a stream.

    Raises:
        InputError: a family whose logits are made in another way.
    """
    if not isinstance(model, Bridge):
        return model.norm, model.unembed
    if model.read_out is None:
        raise InputError(
            f"model type {model.family!r} makes its logits in a way that hooks do not show; "
            "use --activity norm"
        )
    return model.read_out.norm, model.read_out.unembed * model.read_out.factor


def edge_effects(
    model: AnyModel,
    batch: Batch,
    granularity: Granularity = "head",
    inputs: Inputs = "joint",
    *,
    estimator: Estimator = "exact",
    steps: int = STEPS,
    ablated: Tensor | None = None,
    edges: Sequence[int] | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> Effects:
    """Effect of every edge for every prompt of a batch; see ``estimators.edge_effects``.

    Raises:
        UsageError: another estimator than ``exact`` for a family without a reader.
    """
    if isinstance(model, Bridge):
        if estimator != "exact":
            require_estimator(model.family, estimator)
        return bridge_effects(
            model, batch, granularity, inputs, ablated=ablated, edges=edges, chunk_rows=chunk_rows
        )
    return estimators.edge_effects(
        model,
        batch,
        granularity,
        inputs,
        estimator=estimator,
        steps=steps,
        ablated=ablated,
        edges=edges,
        chunk_rows=chunk_rows,
    )


@torch.no_grad()
def decisions(model: AnyModel, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Clean and corrupt decision, and answer mass in the clean run, of every prompt [n]."""
    if isinstance(model, Bridge):
        return decisions_of(model, batch)
    clean = forward(model, batch.clean, batch.ends)
    corrupt = forward(model, batch.corrupt, batch.corrupt_ends)
    before = decide(model, gather(clean.final, batch.read), batch)
    after = decide(model, gather(corrupt.final, batch.corrupt_read), batch)
    return before, after, answer_mass(model, clean.final, batch)
