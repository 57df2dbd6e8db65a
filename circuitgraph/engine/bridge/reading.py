"""Hooks that patch the input of one receiver of a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from circuitgraph.engine.bridge.wrapped import Bridge, Hook, Reading, hook_name


def patch_attention_input(bridge: Bridge, layer: int, delta: Tensor) -> list[Hook]:
    """Add delta [R, T, d] to the input stream of attention, for q, k and v."""
    return _patch_input(layer, "attention_in", bridge.wiring[layer].attention, ("pre",), delta)


def patch_mlp_input(bridge: Bridge, layer: int, delta: Tensor) -> list[Hook]:
    """Add delta [R, T, d] to the input stream of the MLP."""
    summed = ("pre",) if bridge.parallel else ("pre", "attention")
    return _patch_input(layer, "mlp_in", bridge.wiring[layer].mlp, summed, delta)


def patch_final_input(bridge: Bridge, delta: Tensor) -> list[Hook]:
    """Add delta [R, T, d] to the input stream of the final norm."""
    return [(hook_name(bridge.layers - 1, "post"), lambda x, hook: x + delta)]


def _patch_input(
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
    """Replace an activation of a block."""
    return (hook_name(layer, place), lambda x, hook: value)


def put_where(layer: int, place: str, value: Tensor, chosen: Tensor) -> Hook:
    """Replace an activation where ``chosen`` (broadcast) is true."""
    return (hook_name(layer, place), lambda x, hook: value.where(chosen, x))
