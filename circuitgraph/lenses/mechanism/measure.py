"""Effects with signal, edge and downstream swapped between the models of two runs, and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.components import Ablation
from circuitgraph.base.errors import InputError
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.engine.batches import in_batches, make_batch
from circuitgraph.engine.model import Model
from circuitgraph.engine.norms import require_heads_apart
from circuitgraph.ingest.estimate import rows
from circuitgraph.ingest.memory import weights_of
from circuitgraph.lenses.effect.exact import exact_effects_of
from circuitgraph.lenses.mechanism.same import EdgeEnds, same_weights
from circuitgraph.lenses.mechanism.sent import Replacements
from circuitgraph.lenses.mechanism.split import SwappedEffects
from circuitgraph.lenses.mechanism.values import (
    CELLS,
    Cell,
    edge_ends,
    mean_outputs,
    mixed_effects,
)
from circuitgraph.models.devices import on_device
from circuitgraph.models.stored import ModelPair
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.artefacts import ByEdge, keep_by_edge, read_by_edge
from circuitgraph.runs.comparable import incomparable
from circuitgraph.runs.record import Run

BATCH = 32
"""Prompts at once, at most: only the positions behind the first change run often."""
ROOM = 1 << 30
"""Bytes that a batch may take where no memory is named."""
TRACED = 8
"""Numbers a trace keeps of a position and block, in widths of the model."""
CHECKED = 4
"""Prompts on which the models must give the effects stored once more."""
KEYS = ("granularity", "inputs", "ablation")
"""In which both runs must agree."""
APART = 1e-3
"""Share of the largest effect by which the models may miss the effects stored."""


def mechanisms_of(
    a: Run,
    b: Run,
    edges: Sequence[int],
    reporter: Reporter,
    resources: Resources = USUAL,
) -> SwappedEffects:
    """Effects of some edges with each factor from either run; kept beside ``a``.

    Parameters
    ----------
    a, b : Run
        Comparable effect runs of one architecture.
    edges : sequence of int
        Columns of ``effects``.
    resources : Resources
        Where to compute, and within what memory.

    Raises
    ------
    UsageError
        A table, a family without a reader, or models whose factors cannot be swapped.
    InputError
        The files of a variant are gone or changed.
    """
    file = a.beside(f"swapped-{b.id}.safetensors")
    known = read_by_edge(file)
    missing = [edge for edge in sorted(set(edges)) if edge not in known]
    if missing:
        found = _measure(a, b, missing, reporter, resources)
        own: ByEdge = {
            edge: {"values": found.values[..., i].astype(np.float32), "same": found.same[:, i]}
            for i, edge in enumerate(missing)
        }
        keep_by_edge(file, own)
        known |= own
    values, same = (np.stack([known[edge][k] for edge in edges], -1) for k in ("values", "same"))
    return SwappedEffects(values.astype(np.float64), same)


@dataclass(frozen=True)
class _Measurement:
    """Two models, their prompts and the edges to be measured."""

    models: tuple[Model, Model]
    prompts: tuple[Encoded, ...]
    ablation: Ablation
    edges: Sequence[EdgeEnds]
    weights: Tensor
    replaced: Replacements | None
    resources: Resources

    @property
    def batch_size(self) -> int:
        """Prompts at once: both models' traces, clean and corrupt, must fit."""
        model = self.models[0]
        length = max(rows(p) * (len(p.prompt) + 1) for p in self.prompts)
        each = 4.0 * model.dtype.itemsize * TRACED * model.layers * model.width * length
        if self.resources.memory is None:
            return max(1, min(BATCH, int(ROOM // each)))
        held = self.resources.held(sum(map(weights_of, self.models)))
        return self.resources.batch_size(BATCH, held, lambda size: size * each)

    def swapped(
        self,
        chosen: Sequence[int],
        corners: Tensor | None,
        cells: Sequence[Cell] = CELLS,
        advance: Callable[[int], None] = lambda _: None,
    ) -> SwappedEffects:
        """One batch; ``advance`` is called for every edge."""
        prompts = [self.prompts[i] for i in chosen]
        border = self.models[0].border
        batch = make_batch(prompts, whole=self.replaced is not None, border=border)
        batch = on_device(batch, self.resources.device)
        found = mixed_effects(
            self.models, batch, self.edges, self.weights, corners, self.replaced, cells, advance
        )
        return SwappedEffects(found.values.cpu().numpy(), found.same.cpu().numpy())


def _measure(
    a: Run, b: Run, edges: Sequence[int], reporter: Reporter, resources: Resources
) -> SwappedEffects:
    effects = [_exact(run, edges, reporter, resources) for run in (a, b)]
    stored = np.stack(effects).astype(np.float64)
    measurement = _measurement(a, b, edges, resources)
    corners = torch.from_numpy(stored)
    batches = in_batches(measurement.prompts, measurement.ablation, measurement.batch_size)
    with reporter.progress(len(edges), "the effects stored, again", "edge") as progress:
        _check(measurement, batches[0][:CHECKED], stored, progress.advance)
    values = np.empty((2, 2, 2, len(measurement.prompts), len(edges)))
    same = np.ones((3, len(edges)), bool)
    label = f"mechanism of {len(edges)} claims"
    with reporter.progress(len(batches) * len(edges), label, "claim") as progress:
        for rows in batches:
            found = measurement.swapped(rows, corners[:, rows], advance=progress.advance)
            values[..., rows, :] = found.values
            same &= found.same
    return SwappedEffects(values, same)


def _measurement(a: Run, b: Run, edges: Sequence[int], resources: Resources) -> _Measurement:
    if a.edges != b.edges:
        raise incomparable(a.variant, b.variant, "their runs hold different edges")
    pair = ModelPair.alike(a, b, "mechanism", KEYS, resources)
    models, prompts, spec = pair.engines, pair.a.prompts, pair.a.spec
    require_heads_apart(models[0], spec.granularity, "mechanism")
    every = edge_ends(models[0], spec.granularity, spec.inputs)
    chosen = [every[edge] for edge in edges]
    replaced = _replacements(models, prompts, chosen, spec.ablation)
    weights = same_weights(models, chosen)
    return _Measurement(models, prompts, spec.ablation, chosen, weights, replaced, resources)


def _replacements(
    models: tuple[Model, Model],
    prompts: Sequence[Encoded],
    chosen: Sequence[EdgeEnds],
    ablation: Ablation,
) -> Replacements | None:
    """Senders' contributions under mean or zero ablation; None for the corrupt run."""
    if ablation == "corrupt":
        return None
    senders = dict.fromkeys(edge.sender for edge in chosen)
    if ablation == "mean":
        return mean_outputs(models, [p.prompt for p in prompts], senders)
    nothing = models[0].embed.new_zeros(models[0].width)
    return {(sender, u, e): nothing for sender in senders for u in (0, 1) for e in (0, 1)}


def _exact(run: Run, edges: Sequence[int], reporter: Reporter, resources: Resources) -> np.ndarray:
    if run.method.estimator != "exact":
        return exact_effects_of(run, edges, reporter, resources=resources)
    return run.effects[:, list(edges)]


def _check(
    measurement: _Measurement,
    rows: Sequence[int],
    stored: np.ndarray,
    advance: Callable[[int], None],
) -> None:
    """Refuse models that, with nothing swapped, no longer give the stored effects."""
    found = measurement.swapped(rows, None, (CELLS[0], CELLS[-1]), advance).values
    measured = np.stack([found[0, 0, 0], found[1, 1, 1]])
    expected = stored[:, rows]
    apart = np.abs(measured - expected).max() / max(np.abs(stored).max(), np.finfo(float).tiny)
    if not apart <= APART:
        raise InputError(f"the models no longer give the effects stored (off by {apart:.1e})")
