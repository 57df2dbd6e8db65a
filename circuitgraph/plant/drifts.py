"""Random updates of every matrix, of the rank and size that fine-tuning has."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from circuitgraph.base.errors import UsageError
from circuitgraph.engine.model import Linear, Model
from circuitgraph.plant.folders import Planted, read, require_free, table, write

RANK = 8


def drift(
    model: str | Path, out: str | Path, *, size: float, seed: int = 0, embeddings: bool = False
) -> Planted:
    """Write a model with a random update of every matrix: a null pair.

    Real LoRA fine-tunes of small models by reinforcement drift by .1 or so, by training on
    a model's own samples by .03.

    Parameters
    ----------
    size
        ‖ΔW‖ / ‖W‖ (Frobenius) of each matrix; the update has rank 8.
    embeddings
        Drift of the embedding and unembedding too, which LoRA on all linear layers would leave
        alone.
    """
    require_size(size)
    require_free(Path(out))
    source = read(model)
    random = torch.Generator().manual_seed(seed)
    add_drift(source.model, size, random, embeddings, source.tied)
    return Planted(source.folder, write(source, source.model, Path(out)), table(()), table(()))


def require_size(size: float) -> None:
    """Check the size of a random update.

    Raises
    ------
    UsageError
        Not in 0 to 1.
    """
    if not 0 <= size <= 1:
        raise UsageError(f"drift {size}: give ‖ΔW‖ / ‖W‖, from 0 to 1")


def matrices(model: Model, embeddings: bool = False) -> list[Tensor]:
    """All matrices of a model, optionally with embeddings first."""
    ends = (model.embed, model.positions, model.unembed) if embeddings else ()
    found = [table for table in ends if table is not None]
    for block in model.blocks:
        attention, mlp = block.attention, block.one_mlp
        parts: list[Linear | None] = [attention.q, attention.k, attention.v, attention.out]
        parts += [mlp.gate, mlp.up, mlp.down]
        found += [part.weight for part in parts if part is not None]
    return found


def add_drift(
    model: Model,
    size: float,
    random: torch.Generator,
    embeddings: bool = False,
    tied: bool = False,
) -> None:
    """Add to every matrix W a random ΔW of rank 8 with ‖ΔW‖ = size · ‖W‖ (in place)."""
    for weight in matrices(model, embeddings):
        if tied and weight is model.unembed:
            weight.copy_(model.embed)
            continue
        rows, columns = weight.shape
        rank = min(RANK, rows, columns)
        left = torch.randn(rows, rank, generator=random, dtype=weight.dtype)
        right = torch.randn(rank, columns, generator=random, dtype=weight.dtype)
        update = left @ right
        weight.add_(update * (size * weight.norm() / update.norm()))
