"""Hooks that let one reader of a block read more than the stream holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from circuitgraph.engine.bridge.wrapped import Bridge, Hook, Reading, hook_name


def attention_hears(bridge: Bridge, layer: int, delta: Tensor) -> list[Hook]:
    """Attention of a block reads the stream + delta [R, T, d], through q, k and v alike."""
    return _hears(layer, "attention_in", bridge.wiring[layer].attention, ("pre",), delta)


def mlp_hears(bridge: Bridge, layer: int, delta: Tensor) -> list[Hook]:
    """The MLP of a block reads its stream + delta [R, T, d]."""
    summed = ("pre",) if bridge.parallel else ("pre", "attention")
    return _hears(layer, "mlp_in", bridge.wiring[layer].mlp, summed, delta)


def logits_hear(bridge: Bridge, delta: Tensor) -> list[Hook]:
    """The final norm reads the stream + delta [R, T, d]."""
    return [(hook_name(bridge.layers - 1, "post"), lambda x, hook: x + delta)]


def _hears(
    layer: int, reader: str, norm: Reading, summed: tuple[str, ...], delta: Tensor
) -> list[Hook]:
    stream: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor, Any], None]:
        def note(x: Tensor, hook: Any) -> None:
            stream[name] = x

        return note

    def read(x: Tensor, hook: Any) -> Tensor:
        return norm(sum((stream[name] for name in summed), delta))

    seen: list[Hook] = [(hook_name(layer, name), keep(name)) for name in summed]
    return [*seen, (hook_name(layer, reader), read)]


def put(layer: int, place: str, value: Tensor) -> Hook:
    """Put a value in the place of what a block computed there."""
    return (hook_name(layer, place), lambda x, hook: value)


def put_where(layer: int, place: str, value: Tensor, chosen: Tensor) -> Hook:
    """Put a value where ``chosen`` (broadcast) is true."""
    return (hook_name(layer, place), lambda x, hook: value.where(chosen, x))
