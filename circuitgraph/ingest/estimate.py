"""How long and how large, said before the work begins."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from circuitgraph.components import as_granularity, as_inputs, effect_edges, parse
from circuitgraph.engine.model import Model
from circuitgraph.ingest.effects import window
from circuitgraph.ingest.jobs import Job
from circuitgraph.progress import human_bytes, human_seconds

EFFICIENCY = 0.15
"""Share of the matrix-multiply rate that a whole ingest reaches, as measured on small models."""


def describe(model: Model, job: Job, columns: int) -> str:
    """One line: prompts × columns, bytes on disk, and a guess of the time."""
    size = 4 * len(job.encoded) * columns
    seconds = operations(model, job) / (EFFICIENCY * matrix_rate())
    noun = "edges" if job.kind == "effect" else "components"
    return (
        f"{job.kind}: {len(job.encoded)} prompts × {columns} {noun}, "
        f"{human_bytes(size)} on disk, {human_seconds(seconds)}"
    )


def operations(model: Model, job: Job) -> float:
    """Floating-point operations of the matrix products a job needs."""
    tokens = sum(len(p.prompt) for p in job.encoded)
    forward = 2.0 * _block_weights(model) * model.layers * tokens
    if job.kind == "correlation":
        return forward
    rows = sum(window(p) for p in job.encoded)
    return 2 * forward + rows * 2.0 * _block_weights(model) * _blocks_after(model, job)


def _block_weights(model: Model) -> int:
    block = model.blocks[0]
    linears = [block.attention.q, block.attention.k, block.attention.v, block.attention.out]
    linears += [block.mlp.up, block.mlp.down, *([block.mlp.gate] if block.mlp.gate else [])]
    return sum(linear.weight.numel() for linear in linears)


def _blocks_after(model: Model, job: Job) -> float:
    """Blocks recomputed, summed over edges."""
    granularity, inputs = as_granularity(job.method.granularity), as_inputs(job.method.inputs)
    edges = effect_edges(model.layers, model.heads, model.kv_heads, granularity, inputs)
    layers = [parse(edge.target).layer for edge in edges]
    return sum(model.layers - layer - 0.5 for layer in layers if layer is not None)


def matrix_rate(size: int = 384, repeats: int = 3) -> float:
    """Floating-point operations a second of one matrix product, measured now."""
    a, b = torch.ones(size, size), torch.ones(size, size)
    times: Sequence[float] = [_timed(a, b) for _ in range(repeats)]
    return 2.0 * size**3 / min(times)


def _timed(a: torch.Tensor, b: torch.Tensor) -> float:
    begin = time.perf_counter()
    torch.mm(a, b)
    return max(time.perf_counter() - begin, 1e-7)
