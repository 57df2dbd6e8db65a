"""Rotary tables that depend on length (LongRoPE), row by row in the library's own forward.

The library chooses one table a forward, by its longest row. Here each row gets the table it
would get alone: both are made by the library's module, with positions that end at the border
and beyond it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from circuitgraph.engine.families.rotary import border_of


class RowRotary(torch.nn.Module):
    """The library's rotary module, applied to each row as if it ran alone.

    Attributes
    ----------
    inner : Module
        The library's.
    border : int
        Rows of more tokens than this use the long table.
    ends : int [R], optional
        Tokens of each row of the runs to come.
    """

    def __init__(self, inner: Any, border: int) -> None:
        super().__init__()
        self.inner, self.border = inner, border
        self.ends: Tensor | None = None

    def forward(self, x: Tensor, position_ids: Tensor, *more: Any, **named: Any) -> Any:
        """cos and sin [R, T, size]."""
        if self.ends is None:
            return self.inner(x, position_ids, *more, **named)
        short = position_ids.clamp_max(self.border - 1)  # nothing but padding is beyond
        beyond = position_ids.new_full((len(position_ids), 1), self.border)
        long = torch.cat([position_ids, beyond], 1)
        by_short = self.inner(x, short, *more, **named)
        by_long = self.inner(x, long, *more, **named)
        is_long = self.ends.repeat(len(x) // len(self.ends))[:, None, None] > self.border
        return tuple(
            torch.where(is_long, b[:, :-1], a) for a, b in zip(by_short, by_long, strict=True)
        )


def by_row(hf: Any) -> RowRotary | None:
    """Replace the library's rotary module by the row-wise one (in place), where one is needed.

    Raises
    ------
    ValueError
        Tables that depend on length in a way not known here.
    """
    border = border_of(hf.config)
    if border is None:
        return None
    found = [
        (module, name, child)
        for module in hf.modules()
        for name, child in module.named_children()
        if hasattr(child, "rope_type") and not isinstance(child, RowRotary)
    ]
    if len(found) != 1:
        raise ValueError("its rotary tables depend on length, and not in one place")
    parent, name, child = found[0]
    rotary = RowRotary(child, border)
    setattr(parent, name, rotary)
    return rotary
