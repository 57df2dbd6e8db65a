"""SmolLM3: Llama with layers that no rotary positions reach, and sliding windows in some layers."""

from __future__ import annotations

from typing import Any

from circuitgraph.engine.families.common import Reader, window_of


def _window(config: Any, layer: int) -> int | None:
    return window_of(config, layer) if config.use_sliding_window else None


read = Reader(window=_window, turned=lambda config, layer: bool(config.no_rope_layers[layer])).read
