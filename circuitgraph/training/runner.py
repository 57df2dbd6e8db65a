"""Log-probabilities of answers, with cached activations below the first trained layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from circuitgraph.training.packed import Row, Rows, packed, single
from circuitgraph.training.texts import Group

TOLERANCE = 1e-3
"""Nats by which packing and caching may change a log-probability."""


class _Reached(Exception):
    """Ends a forward pass at the first trained layer."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states


class Runner:
    """A transformers model with a cache of activations below the first trained layer.

    Parameters
    ----------
    hf
        The transformers model; adapters may be added and removed while the runner is in use.
    layers
        Its blocks.
    first
        The lowest trained layer; activations below it are computed once per row.
    device
        Of the computation.
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
        """A group as one packed row, or one row per text where packing fails."""
        if self.packs:
            return [packed(group.texts)]
        return [row for text in group.texts for row in single(text)]

    def scores(self, rows: Sequence[Row]) -> tuple[Rows, Tensor, Tensor]:
        """Batch, log-probabilities [texts, answers], logits at scored positions [R, K, V]."""
        batch = Rows.of(rows).to(self.device)
        below = self._below(rows) if self.first else None
        with self._cut(below), self._only_scored(batch.read):
            logits = self._run(batch)
        return batch, batch.scores(logits), logits

    def check(self, groups: Sequence[Group]) -> list[str]:
        """Test packing and caching, and turn off what changes the log-probabilities.

        Tested on the longest row, where windows of attention matter most.

        Returns
        -------
        list of str
            What was turned off, in words.
        """
        remarks = []
        group = max(groups, key=lambda each: len(packed(each.texts).tokens))
        with torch.no_grad():
            first, self.first, self.packs = self.first, 0, False
            plain = self.scores(self.rows(group))[1]
            self.packs = True
            if not self._agrees(group, plain):
                self.packs = False
                remarks.append(
                    "texts are run one by one: packed together, this model's numbers change"
                )
            self.first = first
            if self.first and not self._agrees(group, plain):
                self.first, self._keeps = 0, False
                remarks.append(
                    "lower layers are run at every step: cached, they change the numbers"
                )
        return remarks

    def _agrees(self, group: Group, plain: Tensor) -> bool:
        try:
            found = self.scores(self.rows(group))[1]
        except (RuntimeError, ValueError, TypeError, IndexError):  # raised inside transformers
            return False
        return bool((found - plain).abs().max() <= TOLERANCE)

    def _run(self, batch: Rows) -> Tensor:
        packing: dict[str, Tensor] = {}
        if batch.mask is not None:
            packing = {"attention_mask": batch.mask, "position_ids": batch.positions}
        return self.hf(input_ids=batch.tokens, use_cache=False, **packing).logits

    def _below(self, rows: Sequence[Row]) -> Tensor:
        """Cached residual stream that enters the first trained layer [R, T, d]."""
        new = [row for row in rows if row not in self._kept]
        if new:
            batch = Rows.of(new).to(self.device)
            for row, states in zip(new, self._entering(batch), strict=True):
                self._kept[row] = states[: len(row.tokens)].clone()
        length = max(len(row.tokens) for row in rows)
        kept = [self._kept[row] for row in rows]
        return torch.stack([torch.nn.functional.pad(k, (0, 0, 0, length - len(k))) for k in kept])

    def _entering(self, batch: Rows) -> Tensor:
        """Residual stream that enters the first trained layer; later layers are not run."""

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
        """Skip the lower layers and give the first trained one the cached residual stream."""
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
            layer.forward = _identity
        try:
            yield
        finally:
            handle.remove()
            for layer in lower:
                del layer.forward

    @contextmanager
    def _only_scored(self, read: Tensor) -> Iterator[None]:
        """Unembed only the scored positions [R, K]."""
        every = torch.arange(len(read), device=read.device)[:, None]

        def gather(_module: Any, args: tuple) -> tuple:
            return (args[0][every, read], *args[1:])

        handle = self.hf.get_output_embeddings().register_forward_pre_hook(gather)
        try:
            yield
        finally:
            handle.remove()


def _identity(hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    return hidden_states
