"""How long and how large, said before the work begins."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import torch

from circuitgraph.base.components import Edge, effect_edges, parse
from circuitgraph.base.progress import human_bytes, human_seconds
from circuitgraph.engine.batches import window
from circuitgraph.ingest.shape import Shape
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method

EFFICIENCY = 0.3
"""Share of the matrix-multiply rate that small models reach; wide ones reach twice that."""

AFFORDABLE = 2e14
"""Operations up to which every edge is measured exactly: half an hour of two laptop cores.

A number of operations and no time, so that every variant and machine chooses alike.
"""


def describe(shape: Shape, method: Method, prompts: Sequence[Encoded], columns: int) -> str:
    """One line: prompts × columns, bytes on disk, and a guess of the time."""
    size = 4 * len(prompts) * columns
    seconds = operations(shape, method, prompts) / (EFFICIENCY * matrix_rate())
    noun = "components"
    if method.kind == "effect":
        noun = f"edges ({method.estimator})"
    return (
        f"{method.kind}: {len(prompts)} prompts × {columns} {noun}, "
        f"{human_bytes(size)} on disk, {human_seconds(seconds)}"
    )


def operations(shape: Shape, method: Method, prompts: Sequence[Encoded]) -> float:
    """Floating-point operations of the matrix products a run needs."""
    tokens = sum(rows(p) * len(p.prompt) for p in prompts)
    if shape.hooked:  # from the first token to all logits, for every edge
        edges = len(edges_of(shape, method)) if method.kind == "effect" else 0
        return 2.0 * shape.parameters * tokens * (1 + edges)
    forward = 2.0 * shape.block_weights * shape.layers * tokens
    if method.kind == "correlation":
        return forward
    windows = sum(rows(p) * window(p, method.ablation) for p in prompts)
    both = 2 * forward
    if method.estimator == "exact":
        return both + _suffixes(shape, method, windows) + _normalisers(shape, method, prompts)
    backward = 3 * forward * max(1, method.steps) + _products(shape, method, windows)
    if method.estimator == "receiver-exact":
        return both + backward + _receivers(shape, method, windows)
    return both + backward


def rows(prompt: Encoded) -> int:
    """Sequences a prompt takes: one for each answer of several tokens, but at least one."""
    return max(1, (len(prompt.answer) > 1) + (len(prompt.wrong_answer) > 1))


def edges_of(shape: Shape, method: Method) -> list[Edge]:
    """Every edge a run of this method holds."""
    spec, sizes = method.spec, (shape.layers, shape.heads, shape.kv_heads)
    return effect_edges(*sizes, spec.granularity, spec.inputs, shape.parallel)


def _suffixes(shape: Shape, method: Method, windows: int) -> float:
    """Blocks recomputed, summed over edges; a receiver's own counts half."""
    into = Counter(parse(edge.target).layer for edge in edges_of(shape, method))
    again = sum(
        count * (shape.layers - layer - 0.5) for layer, count in into.items() if layer is not None
    )
    return 2.0 * windows * shape.block_weights * again


def _receivers(shape: Shape, method: Method, windows: int) -> float:
    """Each block once for each sender it can read."""
    own = 2 if method.granularity == "layer" else shape.heads + 1
    heard = sum(1 + layer * own for layer in range(shape.layers))
    return 2.0 * windows * shape.block_weights * heard


def _products(shape: Shape, method: Method, windows: int) -> float:
    """Every sender's change times every receiver's gradient."""
    return 2.0 * windows * shape.width * len(edges_of(shape, method)) * max(1, method.steps)


def _normalisers(shape: Shape, method: Method, prompts: Sequence[Encoded]) -> float:
    """The whole vocabulary for each further token of an answer, for every edge."""
    alone = sum(len(a) - 1 for p in prompts for a in (p.answer, p.wrong_answer))
    return 2.0 * alone * shape.vocabulary * shape.width * len(edges_of(shape, method))


def matrix_rate(size: int = 384, repeats: int = 3) -> float:
    """Floating-point operations a second of one matrix product, measured now."""
    a, b = torch.ones(size, size), torch.ones(size, size)
    times: Sequence[float] = [_timed(a, b) for _ in range(repeats)]
    return 2.0 * size**3 / min(times)


def _timed(a: torch.Tensor, b: torch.Tensor) -> float:
    begin = time.perf_counter()
    torch.mm(a, b)
    return max(time.perf_counter() - begin, 1e-7)
