"""Norms identified by their outputs: families name and store their gains in many ways."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from circuitgraph.engine.model import Norm

LARGE, SMALL = 1e3, 1e-3
TOLERANCE = 1e-4


def read_norm(module: Callable[[Tensor], Tensor], width: int) -> Norm | None:
    """The LayerNorm or RMSNorm that a module over [..., width] computes, or None.

    Gain and bias are the odd and even parts of its output for ±1, whose mean is 0 and whose root
    mean square is 1; its output for a tiny ±1 gives eps.
    """
    signs = torch.ones(width)
    signs[1::2] = -1
    if width % 2:
        return None
    up, down = module(LARGE * signs), module(-LARGE * signs)
    gain, bias = (up - down) / 2 * signs, (up + down) / 2
    widest = int(gain.abs().argmax())
    answer = float(((module(SMALL * signs) - bias) * signs / gain)[widest])
    eps = max(0.0, SMALL**2 * (answer**-2 - 1)) if answer > 0 else 0.0
    some = torch.randn(8, width, generator=torch.Generator().manual_seed(0))
    centre = _alike(module(some + 3), module(some))
    norm = Norm(gain, bias if bool(bias.any()) else None, eps, centre)
    same = all(_alike(norm(size * some), module(size * some)) for size in (0.1, 1.0, 30.0))
    return norm if same else None


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    return bool((ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max())
