"""Estimated time and size of a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from circuitgraph.base.components import Edge
from circuitgraph.base.progress import human_bytes, human_seconds
from circuitgraph.base.resources import kind_of
from circuitgraph.engine import receivers
from circuitgraph.engine.batches import window
from circuitgraph.ingest.shape import Shape
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method

HALF = {"cpu": 150, "cuda": 260, "mps": 260}
"""Width of the model that reaches half the rate of a large matrix product, by kind of device: what
stands between the products (norms, attention, copies) grows with the width, they with its square.
"""

SIZES = {"cpu": 384, "cuda": 4096, "mps": 2048}
"""Rows of the product that is timed: as many as keep the device busy."""

AFFORDABLE = 2e14
"""Operations up to which every edge is measured exactly: half an hour of two laptop cores.

A number of operations and no time, so that every variant and machine chooses alike.
"""

TIERS = ("exact", "receiver-exact", "eap")
"""Estimators from the dearest to the cheapest: ``auto`` takes the first that is affordable."""


def describe(
    shape: Shape, method: Method, prompts: Sequence[Encoded], columns: int, device: str = "cpu"
) -> str:
    """One line: prompts × columns, bytes on disk, and an estimate of the time."""
    size = 4 * len(prompts) * columns
    seconds = operations(shape, method, prompts) / rate_here(shape, device)
    noun = "components"
    if method.kind == "effect":
        noun = f"edges ({method.estimator})"
    return (
        f"{method.kind}: {len(prompts)} prompts × {columns} {noun}, "
        f"{human_bytes(size)} on disk, {human_seconds(seconds)}"
    )


def affordable(
    shape: Shape, method: Method, prompts: Sequence[Encoded], most: float = AFFORDABLE
) -> str:
    """The first of ``TIERS`` that needs at most ``most`` operations; else the last."""
    for estimator in TIERS:
        if operations(shape, replace(method, estimator=estimator, steps=0), prompts) <= most:
            return estimator
    return TIERS[-1]


def rate_here(shape: Shape, device: str = "cpu") -> float:
    """Operations a second of a run on a device, from a matrix product measured now."""
    return efficiency(shape, device) * matrix_rate(device)


def efficiency(shape: Shape, device: str = "cpu") -> float:
    """Share of the rate of a large matrix product that a model of this width reaches."""
    return shape.width / (shape.width + HALF[kind_of(device)])


def what_fits(
    shape: Shape, method: Method, prompts: Sequence[Encoded], seconds: float, rate: float
) -> tuple[str, bool]:
    """Time of each choice in a line, and whether the method fits into ``seconds``.

    ``rate``: operations a second; the one that decided the estimator, or the two would disagree.
    """
    choices = []
    for granularity in dict.fromkeys((method.granularity, "layer")):
        for estimator in TIERS:
            choice = replace(method, granularity=granularity, estimator=estimator, steps=0)
            taken = operations(shape, choice, prompts) / rate
            fits = "fits" if taken <= seconds else "does not"
            choices.append(f"{granularity} {estimator} {human_seconds(taken)} ({fits})")
    own = operations(shape, method, prompts) / rate
    return f"in {human_seconds(seconds)}: {'; '.join(choices)}", own <= seconds


def operations(shape: Shape, method: Method, prompts: Sequence[Encoded]) -> float:
    """Floating-point operations of the matrix products a run needs."""
    if shape.hooked:
        return _under_hooks(shape, method, prompts)
    tokens = sum(rows(p) * len(p.prompt) for p in prompts)
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


def _under_hooks(shape: Shape, method: Method, prompts: Sequence[Encoded]) -> float:
    """With hooks every forward pass begins at the first token."""
    tokens = sum(rows(p) * len(p.prompt) for p in prompts)
    forward = 2.0 * shape.parameters * tokens
    if method.kind == "correlation":
        return forward
    if method.estimator == "exact":
        return forward * (1 + number_of_edges(shape, method))
    own = 1 if method.granularity == "layer" else shape.heads
    # One backward pass, and attention's own part of it once a receiver.
    screen = 3 * forward * max(1, method.steps) * (1 + own / 3) + _products(shape, method, tokens)
    if method.estimator != "receiver-exact":
        return 2 * forward + screen
    blocks = 2.0 * shape.block_weights * tokens
    runs = sum(2 * (1 + layer * (own + 1)) * (layer + 1) for layer in range(shape.layers))
    return 2 * forward + screen + blocks * runs + forward * (1 + shape.layers * (own + 1))


def rows(prompt: Encoded) -> int:
    """Sequences of a prompt: one for each answer of several tokens, but at least one."""
    return max(1, (len(prompt.answer) > 1) + (len(prompt.wrong_answer) > 1))


def edges_of(shape: Shape, method: Method) -> list[Edge]:
    """Every edge of a run of this method."""
    return receivers.edges_of(shape, method.spec.granularity, method.spec.inputs)


def number_of_edges(shape: Shape, method: Method) -> int:
    """Number of edges, without their names: there may be tens of millions."""
    return sum(receiver.senders for receiver in _readers(shape, method))


def _readers(shape: Shape, method: Method) -> list[receivers.Receiver]:
    return receivers.receivers(shape, method.spec.granularity, method.spec.inputs)


def _suffixes(shape: Shape, method: Method, windows: int) -> float:
    """Blocks recomputed, summed over edges; a receiver's own counts half."""
    again = sum(
        reader.senders * (shape.layers - reader.layer - 0.5)
        for reader in _readers(shape, method)
        if reader.layer < shape.layers
    )
    return 2.0 * windows * shape.block_weights * again


def _receivers(shape: Shape, method: Method, windows: int) -> float:
    """Each block once for each of its senders; of a mixture also once for its router."""
    granularity = method.spec.granularity
    before = receivers.first_components(shape, granularity)[:-1]
    again = sum(
        count * (1 + receivers.has_experts(shape, layer, granularity))
        for layer, count in enumerate(before)
    )
    return 2.0 * windows * shape.block_weights * again


def _products(shape: Shape, method: Method, windows: int) -> float:
    """Every sender's change times every receiver's gradient, an expert's where it is chosen."""
    products = 0.0
    for reader in _readers(shape, method):
        own = reader.expert is not None and reader.expert != receivers.ROUTER
        products += reader.senders * (shape.chosen / shape.experts[reader.layer] if own else 1)
    return 2.0 * windows * shape.width * products * max(1, method.steps)


def _normalisers(shape: Shape, method: Method, prompts: Sequence[Encoded]) -> float:
    """The whole vocabulary for each further token of an answer, for every edge."""
    alone = sum(len(a) - 1 for p in prompts for a in (p.answer, p.wrong_answer))
    return 2.0 * alone * shape.vocabulary * shape.width * number_of_edges(shape, method)


def matrix_rate(device: str = "cpu", repeats: int = 3) -> float:
    """Floating-point operations a second of one matrix product, measured now."""
    size = SIZES[kind_of(device)]
    a, b = torch.ones(size, size, device=device), torch.ones(size, size, device=device)
    times: Sequence[float] = [_timed(a, b) for _ in range(repeats)]
    return 2.0 * size**3 / min(times)


def _timed(a: torch.Tensor, b: torch.Tensor) -> float:
    begin = time.perf_counter()
    torch.mm(a, b)[0, 0].item()  # waits for the device
    return max(time.perf_counter() - begin, 1e-7)
