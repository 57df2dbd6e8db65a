"""A model run for answers alone: its untrained lower layers once, its logits where they count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from circuitgraph.training.packed import Row, Rows, packed, single
from circuitgraph.training.texts import Group

TOLERANCE = 1e-3
"""Nats by which packed rows and kept lower layers may change a log-probability."""


class _Reached(Exception):
    """Ends a forward pass where its states are wanted."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states


class Runner:
    """A library model with kept states below the first trained layer.

    Parameters
    ----------
    hf
        The library's model; adapters may come and go on it while the runner stays.
    layers
        Its blocks.
    first
        The lowest trained layer: below it, states are computed once a row.
    device
        Where it computes.
    """

    def __init__(self, hf: Any, layers: Sequence[Any], first: int, device: str = "cpu") -> None:
        self.hf = hf
        self.layers = layers
        self.first = first
        self.device = device
        self.packs = True
        self._keeps = True
        self._kept: dict[Row, Tensor] = {}

    def beginning(self, first: int) -> Runner:
        """The same model, whose lowest trained layer is another; what was tried holds for it."""
        other = Runner(self.hf, self.layers, first if self._keeps else 0, self.device)
        other.packs, other._keeps = self.packs, self._keeps
        return other

    def rows(self, group: Group) -> list[Row]:
        """A group as rows: one, or one a text where the model cannot be packed."""
        if self.packs:
            return [packed(group.texts)]
        return [row for text in group.texts for row in single(text)]

    def scores(self, rows: Sequence[Row]) -> tuple[Rows, Tensor, Tensor]:
        """The rows as tensors, log-probabilities [texts, 2], and logits where judged [R, K, V]."""
        batch = Rows.of(rows).to(self.device)
        below = self._below(rows) if self.first else None
        with self._cut(below), self._judged(batch.read):
            logits = self._run(batch)
        return batch, batch.scores(logits), logits

    def check(self, groups: Sequence[Group]) -> list[str]:
        """Try packing and kept states, and leave out what changes the numbers.

        They are tried on the group that makes the longest row: what goes well there (windows of
        attention, say) does in shorter ones.

        Returns
        -------
        list of str
            What was left out, in words.
        """
        said = []
        group = max(groups, key=lambda each: len(packed(each.texts).tokens))
        with torch.no_grad():
            first, self.first, self.packs = self.first, 0, False
            plain = self.scores(self.rows(group))[1]
            self.packs = True
            if not self._agrees(group, plain):
                self.packs = False
                said.append("texts are run one by one: together, this model reads them otherwise")
            self.first = first
            if self.first and not self._agrees(group, plain):
                self.first, self._keeps = 0, False
                said.append("lower layers are run at every step: kept, they change the numbers")
        return said

    def _agrees(self, group: Group, plain: Tensor) -> bool:
        try:
            found = self.scores(self.rows(group))[1]
        except (RuntimeError, ValueError, TypeError, IndexError):  # of the library's own making
            return False
        return bool((found - plain).abs().max() <= TOLERANCE)

    def _run(self, batch: Rows) -> Tensor:
        told = {} if batch.mask is None else {"attention_mask": batch.mask}
        if batch.mask is not None:
            told["position_ids"] = batch.positions
        return self.hf(input_ids=batch.tokens, use_cache=False, **told).logits

    def _below(self, rows: Sequence[Row]) -> Tensor:
        """States that enter the first trained layer [R, T, d]."""
        new = [row for row in rows if row not in self._kept]
        if new:
            batch = Rows.of(new).to(self.device)
            for row, states in zip(new, self._entering(batch), strict=True):
                self._kept[row] = states[: len(row.tokens)].clone()
        length = max(len(row.tokens) for row in rows)
        kept = [self._kept[row] for row in rows]
        return torch.stack([torch.nn.functional.pad(k, (0, 0, 0, length - len(k))) for k in kept])

    def _entering(self, batch: Rows) -> Tensor:
        """States that enter the first trained layer; layers from there on are not run."""

        def stop(_module: Any, args: tuple, kwargs: dict) -> None:
            raise _Reached(args[0] if args else kwargs["hidden_states"])

        handle = self.layers[self.first].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            with torch.no_grad():
                self._run(batch)
        except _Reached as reached:
            return reached.states
        finally:
            handle.remove()
        raise RuntimeError("the first trained layer was never run")

    @contextmanager
    def _cut(self, below: Tensor | None) -> Iterator[None]:
        """Lower layers hand on what they are given; the first trained one reads what is kept."""
        if below is None:
            yield
            return

        def put(_module: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            if args:
                return (below, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": below}

        lower = self.layers[: self.first]
        handle = self.layers[self.first].register_forward_pre_hook(put, with_kwargs=True)
        for layer in lower:
            layer.forward = _hand_on
        try:
            yield
        finally:
            handle.remove()
            for layer in lower:
                del layer.forward

    @contextmanager
    def _judged(self, read: Tensor) -> Iterator[None]:
        """Only states at the judged positions [R, K] go into the unembedding."""
        every = torch.arange(len(read), device=read.device)[:, None]

        def gather(_module: Any, args: tuple) -> tuple:
            return (args[0][every, read], *args[1:])

        handle = self.hf.get_output_embeddings().register_forward_pre_hook(gather)
        try:
            yield
        finally:
            handle.remove()


def _hand_on(hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    return hidden_states
