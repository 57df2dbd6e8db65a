"""Known changes of wiring in a widened model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from circuitgraph.base.components import Edge
from circuitgraph.base.errors import UsageError
from circuitgraph.engine.forward import forward, logits
from circuitgraph.engine.model import Model, to_device
from circuitgraph.plant.drifts import add_drift, require_size
from circuitgraph.plant.folders import Change, Planted, keep, require_free, table, write
from circuitgraph.plant.folders import read as read_model
from circuitgraph.plant.grafts import Grafted, Recipe, Sample, grafted_model, wire
from circuitgraph.plant.layout import (
    Reader,
    joint_edges,
    readers_of,
    reads,
    senders_to,
    split_edges,
    views,
    written,
)
from circuitgraph.prompts import PromptSet

Side = Literal["read", "write"]
CHANGES = ("off", "on", "flip")
READS, WRITES = 6, 2
"""Plants made where no number is given."""


def plant(
    model: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    k: int | None = None,
    drift: float = 0.0,
    embeddings: bool = False,
    side: Side = "read",
    only: Iterable[Sequence[str]] | None = None,
    consequential: bool = False,
    prompts: PromptSet | str | os.PathLike[str] | None = None,
    size: int = 4,
    density: float = 0.5,
    rho: float | None = None,
    read: float | None = None,
) -> Planted:
    """Write two models, ``out/a`` and ``out/b``, that differ in known edges.

    Parameters
    ----------
    model
        A Hugging Face folder of a Llama-like family or GPT-2, small.
    out
        A new folder; ``truth.csv`` and ``truth-split.csv`` are written there too.
    seed
        Of all that is drawn.
    k
        Plants, in turn ``off``, ``on`` and ``flip`` [6 reads, or 2 writes].
    drift
        ‖ΔW‖ / ‖W‖ of the random update of rank 8 on every matrix of B.
    embeddings
        Drift of embedding and unembedding too.
    side
        ``read``: a receiver reads a sender's channel or stops to. ``write``: a sender writes its
        channel or stops to, which changes the edges to all who read it.
    only
        (source, target) pairs to choose among; of senders alone with ``write``, the pairs' sources.
    consequential
        Choose among the third of plants that move the next token most.
    prompts
        Where scales and consequences are measured; random tokens where None.
    size, density, rho, read
        Of the channels (see ``Recipe``); with ``consequential``, rho is 1 and read 2 by default.

    Raises
    ------
    InputError, UsageError
        Before anything is written.
    """
    require_size(drift)
    if side not in ("read", "write"):
        raise UsageError(f"side {side!r}: choose read or write")
    usual = (1.0, 2.0) if consequential else (Recipe.rho, Recipe.read)
    strengths = (usual[0] if rho is None else rho, usual[1] if read is None else read)
    recipe = Recipe(seed, size, density, *strengths)
    folder = Path(out)
    require_free(folder)
    grafted = grafted_model(read_model(model), recipe, prompts)
    find = _read_plants if side == "read" else _write_plants
    plants = find(grafted, None if only is None else [tuple(pair) for pair in only])
    wanted = {"read": READS, "write": WRITES}[side] if k is None else k
    if consequential:
        plants = _strongest_third(grafted, plants)
    chosen = _choose(plants, wanted, recipe)
    return _write_pair(grafted, chosen, drift, embeddings, folder)


@dataclass(frozen=True)
class Plant:
    """One possible change of an edge.

    Attributes
    ----------
    change
        ``off``, ``on`` or ``flip``.
    place
        What is changed; two plants of one place exclude each other.
    joint, split
        The edges that differ then.
    before, after
        Make the change in A and in B (in place).
    """

    change: str
    place: tuple[object, ...]
    joint: tuple[Edge, ...]
    split: tuple[Edge, ...]
    before: Callable[[Model], None]
    after: Callable[[Model], None]


def _nothing(model: Model) -> None:
    """No change."""


def _read_plants(grafted: Grafted, only: list[tuple[str, ...]] | None) -> list[Plant]:
    found = []
    for reader in readers_of(grafted.model):
        for sender in senders_to(grafted.model, reader):
            joint = tuple(joint_edges(grafted.model, sender, reader))
            split = tuple(split_edges(grafted.model, sender, reader))
            if only is not None and not {e[:2] for e in joint + split} & set(only):
                continue
            wired = reads(grafted.model, grafted.layout, reader, sender)
            for change in ("off", "flip") if wired else ("on",):
                after = _switch(grafted, reader, sender, change)
                found.append(Plant(change, (sender, *reader), joint, split, _nothing, after))
    return found


def _switch(grafted: Grafted, reader: Reader, sender: str, change: str) -> Callable[[Model], None]:
    def after(model: Model) -> None:
        if change == "on":
            wire(model, grafted.layout, grafted.recipe, reader, sender)
            return
        for view in views(model, reader, grafted.layout.of(sender)):
            view.mul_(0.0 if change == "off" else -1.0)

    return after


def _write_plants(grafted: Grafted, only: list[tuple[str, ...]] | None) -> list[Plant]:
    found = []
    for sender in grafted.layout.senders:
        if only is not None and sender not in {pair[0] for pair in only}:
            continue
        readers = [
            reader
            for reader in readers_of(grafted.model)
            if sender in senders_to(grafted.model, reader)
            and reads(grafted.model, grafted.layout, reader, sender)
        ]
        joint = tuple(e for r in readers for e in joint_edges(grafted.model, sender, r))
        split = tuple(e for r in readers for e in split_edges(grafted.model, sender, r))
        if readers:
            off, flip = (_rewrite(grafted, sender, factor) for factor in (0.0, -1.0))
            made = {"off": (_nothing, off), "on": (off, _nothing), "flip": (_nothing, flip)}
            found += [Plant(c, (sender,), joint, split, *made[c]) for c in CHANGES]
    return found


def _rewrite(grafted: Grafted, sender: str, factor: float) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        for view in written(model, grafted.layout, sender):
            view.mul_(factor)

    return change


def _choose(plants: list[Plant], wanted: int, recipe: Recipe) -> list[Plant]:
    """Choose plants in turn off, on and flip, with distinct edges."""
    order = torch.randperm(len(plants), generator=recipe.random("chosen")).tolist()
    left = [plants[i] for i in order]
    chosen: list[Plant] = []
    while len(chosen) < wanted:
        turn = CHANGES[len(chosen) % len(CHANGES)]
        taken = {edge for plant in chosen for edge in plant.joint}
        left = [plant for plant in left if not taken & set(plant.joint)]
        if not left:
            raise UsageError(
                f"{wanted} plants: only {len(chosen)} can be made here; ask for fewer, or name "
                "other edges"
            )
        chosen.append(next((plant for plant in left if plant.change == turn), left[0]))
    return chosen


@torch.no_grad()
def _strongest_third(grafted: Grafted, plants: list[Plant]) -> list[Plant]:
    """The third of plants with the largest mean KL of the next token."""
    base = to_device(grafted.model, "cpu", torch.float32)
    unchanged = _next_tokens(base, grafted.texts).double()
    moves: dict[tuple[object, ...], float] = {}
    for plant in plants:
        if plant.place not in moves:
            toggled = to_device(grafted.model, "cpu", torch.float32)
            plant.before(toggled)
            plant.after(toggled)
            change = unchanged - _next_tokens(toggled, grafted.texts).double()
            moves[plant.place] = float((unchanged.exp() * change).sum(-1).mean())
    least = sorted(moves.values(), reverse=True)[(len(moves) - 1) // 3]
    return [plant for plant in plants if moves[plant.place] >= least]


@torch.no_grad()
def _next_tokens(model: Model, texts: Sample) -> Tensor:
    """Log-probabilities of what follows every text [R, vocabulary]."""
    final = forward(model, texts.tokens).final
    last = final[torch.arange(len(final)), texts.lengths - 1]
    return logits(model, last).log_softmax(-1)


def _copy(model: Model) -> Model:
    return to_device(to_device(model, "cpu", torch.float32), "cpu", torch.float64)


@torch.no_grad()
def _write_pair(
    grafted: Grafted, chosen: list[Plant], size: float, embeddings: bool, folder: Path
) -> Planted:
    a, b = _copy(grafted.model), _copy(grafted.model)
    for plant in chosen:
        plant.before(a)
        plant.after(b)
    if size:
        add_drift(b, size, grafted.recipe.random("drift"), embeddings)
    joint, split = (
        table(Change(edge, plant.change) for plant in chosen for edge in getattr(plant, name))
        for name in ("joint", "split")
    )
    folders = [write(grafted.source, model, folder / n) for model, n in ((a, "a"), (b, "b"))]
    return keep(Planted(folders[0], folders[1], joint, split), folder)
