"""How long and how large, said before the work begins."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from circuitgraph.components import (
    Edge,
    as_granularity,
    as_inputs,
    parse,
    writers,
)
from circuitgraph.engine.bridge.effects import CHUNK_LOGITS
from circuitgraph.engine.bridge.wrapped import Bridge
from circuitgraph.engine.forwards import AnyModel, edges_of
from circuitgraph.engine.model import Model
from circuitgraph.engine.patch import CHUNK_ROWS
from circuitgraph.ingest.effects import window
from circuitgraph.ingest.jobs import Job
from circuitgraph.progress import human_bytes, human_seconds
from circuitgraph.tokens import Encoded

EFFICIENCY = 0.3
"""Share of the matrix-multiply rate that small models reach; wide ones reach twice that."""


def describe(model: AnyModel, job: Job, columns: int, batch_size: int) -> str:
    """One line: prompts × columns, bytes on disk and in memory, and a guess of the time."""
    size = 4 * len(job.encoded) * columns
    seconds = operations(model, job) / (EFFICIENCY * matrix_rate())
    noun = "edges" if job.kind == "effect" else "components"
    held = memory(model, job, batch_size)
    beside = f", {human_bytes(held)} of memory beside the weights" if held else ""
    return (
        f"{job.kind}: {len(job.encoded)} prompts × {columns} {noun}, "
        f"{human_bytes(size)} on disk{beside}, {human_seconds(seconds)}"
    )


def operations(model: AnyModel, job: Job) -> float:
    """Floating-point operations of the matrix products a job needs."""
    tokens = sum(len(p.prompt) for p in job.encoded)
    if isinstance(model, Bridge):
        return _whole_forwards(model, job, tokens)
    forward = 2.0 * _block_weights(model) * model.layers * tokens
    if job.kind == "correlation":
        return forward
    reread = sum(_rows(p) * window(p, job.method.ablation) for p in job.encoded)
    alone = sum(len(a) - 1 for p in job.encoded for a in (p.answer, p.wrong_answer))
    blocks = 2.0 * reread * _block_weights(model) * _blocks_after(model, job)
    return 2 * forward + blocks + 2.0 * alone * model.unembed.numel() * len(_edges(model, job))


def _whole_forwards(model: Bridge, job: Job, tokens: int) -> float:
    """Hooks run the whole model, from the first token to all logits, for every edge."""
    edges = len(_edges(model, job)) if job.kind == "effect" else 0
    return 2.0 * model.parameters * tokens * (1 + edges)


def memory(model: AnyModel, job: Job, batch_size: int) -> float:
    """Bytes of what one batch holds at most: the senders' contributions, clean and corrupt."""
    if job.kind == "correlation":
        return 0.0
    if isinstance(model, Bridge):
        return _whole_rows(model, job, batch_size)
    reach = max(_rows(p) * window(p, job.method.ablation) for p in job.encoded)
    granularity = as_granularity(job.method.granularity)
    senders = 1 + len(writers(model.layers, model.heads, granularity))
    return 2 * 4.0 * senders * model.width * reach * min(batch_size, len(job.encoded))


def _whole_rows(model: Bridge, job: Job, batch_size: int) -> float:
    """Contributions at every position of the longest prompts, and one forward's logits."""
    length = max(_rows(p) * window(p, "zero") for p in job.encoded)
    senders = 1 + len(writers(model.layers, model.heads, as_granularity(job.method.granularity)))
    positions = length * min(batch_size, len(job.encoded))
    logits = min(CHUNK_LOGITS, CHUNK_ROWS * model.vocabulary)
    return 4.0 * (2 * senders * model.width * positions + logits)


def _rows(prompt: Encoded) -> int:
    """Sequences a prompt takes: one for each answer of several tokens, but at least one."""
    return max(1, (len(prompt.answer) > 1) + (len(prompt.wrong_answer) > 1))


def _block_weights(model: Model) -> int:
    block = model.blocks[0]
    linears = [block.attention.q, block.attention.k, block.attention.v, block.attention.out]
    linears += [block.mlp.up, block.mlp.down, *([block.mlp.gate] if block.mlp.gate else [])]
    return sum(linear.weight.numel() for linear in linears)


def _blocks_after(model: Model, job: Job) -> float:
    """Blocks recomputed, summed over edges."""
    layers = [parse(edge.target).layer for edge in _edges(model, job)]
    return sum(model.layers - layer - 0.5 for layer in layers if layer is not None)


def _edges(model: AnyModel, job: Job) -> list[Edge]:
    granularity, inputs = as_granularity(job.method.granularity), as_inputs(job.method.inputs)
    return edges_of(model, granularity, inputs)


def matrix_rate(size: int = 384, repeats: int = 3) -> float:
    """Floating-point operations a second of one matrix product, measured now."""
    a, b = torch.ones(size, size), torch.ones(size, size)
    times: Sequence[float] = [_timed(a, b) for _ in range(repeats)]
    return 2.0 * size**3 / min(times)


def _timed(a: torch.Tensor, b: torch.Tensor) -> float:
    begin = time.perf_counter()
    torch.mm(a, b)
    return max(time.perf_counter() - begin, 1e-7)
