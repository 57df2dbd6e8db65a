"""Rotary tables from the library's own module, so that every scaling rule holds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from circuitgraph.engine.model import Rotary

TABLE_POSITIONS = 16_384


def longest(config: Any) -> int:
    """Longest sequence we run; configurations may name millions of positions, or none."""
    told = getattr(config, "max_position_embeddings", None)
    return min(told, TABLE_POSITIONS) if isinstance(told, int) and told > 0 else TABLE_POSITIONS


def border_of(config: Any) -> int | None:
    """Rows of more tokens than this use other rotary tables (LongRoPE), or None."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    borders = {
        kind.get("original_max_position_embeddings")
        for kind in kinds
        if kind.get("rope_type") == "longrope"
    }
    return min((b for b in borders if isinstance(b, int)), default=None)


def rotary_tables(inner: Any, config: Any) -> tuple[Rotary, ...]:
    """The rotary tables of a decoder: one, or one for each kind of layer (Gemma-3)."""
    return tuple(_rotary(inner, config, kind) for kind in _kinds(inner))


def table_of(inner: Any, config: Any, layer: int) -> int | None:
    """Index into ``rotary_tables`` of a layer; None for a layer without positions."""
    kinds = _kinds(inner)
    if kinds == (None,):
        return 0
    kind = config.layer_types[layer]
    return kinds.index(kind) if kind in kinds else None


def _kinds(inner: Any) -> tuple[str | None, ...]:
    """Kinds of layers with a table of their own; None where one serves all."""
    types = getattr(inner.rotary_emb, "rope_type", None)
    return tuple(types) if isinstance(types, dict) else (None,)


def _rotary(inner: Any, config: Any, kind: str | None) -> Rotary:
    length, border = longest(config), border_of(config)
    if border is None or border >= length:
        return Rotary(*_tables(inner, length, kind))
    # The module chooses by the last position it is asked for; short rows end at the border.
    short = _tables(inner, border, kind)
    cos, sin = (torch.cat([t, t[-1:].expand(length - border, -1)]) for t in short)
    return Rotary(cos, sin, longer=_tables(inner, length, kind), border=border)


def _tables(inner: Any, length: int, kind: str | None) -> tuple[Tensor, Tensor]:
    probe, told = torch.zeros(1, dtype=torch.float32), () if kind is None else (kind,)
    cos, sin = inner.rotary_emb(probe, torch.arange(length)[None], *told)
    return cos[0].detach(), sin[0].detach()
