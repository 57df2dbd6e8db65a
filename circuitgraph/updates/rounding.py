"""Rounding by storage formats of weights, and detection of their grids.

NF4 is the 4-bit NormalFloat of Dettmers, Pagnoni, Holtzman & Zettlemoyer (2023), QLoRA
(arXiv 2305.14314): blocks of 64 values divided by their largest magnitude, then the nearest of
the 16 numbers in its appendix E. ``q4_0`` is that of llama.cpp: blocks of 32 values, 16 even steps
of an eighth of the largest value, which is stored as float16.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import pad

Format = Literal["bf16", "fp16", "nf4", "q4_0"]
FORMATS: tuple[Format, ...] = get_args(Format)
BLOCKS = {"nf4": 64, "q4_0": 32}
"""Values that share a scale."""

NF4 = torch.tensor(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
        *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
        *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
        *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
    ]
)
"""The numbers of NF4 (QLoRA, appendix E), ascending."""
_BETWEEN = (NF4[1:] + NF4[:-1]) / 2
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
STORED = 2.0**-7
"""Error of a value's place on the NF4 scale where value and scale were stored as bfloat16;
half the smallest gap of the scale is 0.04."""


def rounded(weight: Tensor, into: Format) -> Tensor:
    """A tensor rounded to a format, in float32.

    Blocks run over the values in memory's order; the last one may be shorter.
    """
    weight = weight.detach().float()
    if into in _TYPES:
        return weight.to(_TYPES[into]).float()
    blocks = in_blocks(weight, BLOCKS[into])
    kept = _nf4(blocks) if into == "nf4" else _q4_0(blocks)
    return kept.flatten()[: weight.numel()].view_as(weight)


def in_blocks(weight: Tensor, size: int) -> Tensor:
    """Values in blocks [b, size], zero-padded."""
    flat = weight.reshape(-1)
    return pad(flat, (0, -len(flat) % size)).view(-1, size)


def _nf4(blocks: Tensor) -> Tensor:
    scale = blocks.abs().amax(1, keepdim=True)
    return NF4[nf4_codes(blocks)] * scale


def nf4_codes(blocks: Tensor) -> Tensor:
    """Nearest number of the NF4 scale of every value of blocks [b, 64], int64 0 to 15."""
    return torch.bucketize(_places(blocks), _BETWEEN)


def _places(blocks: Tensor) -> Tensor:
    """Values as shares of the largest magnitude of their block."""
    return blocks / blocks.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)


def _q4_0(blocks: Tensor) -> Tensor:
    largest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    step = largest / -8
    inverse = torch.where(step == 0, 0.0, 1 / step)
    codes = (blocks * inverse + 8.5).floor().clamp(0, 15)
    return (codes - 8) * step.half().float()


def grid_of(weight: Tensor) -> str:
    """The coarsest format whose grid all values of a matrix lie on.

    Returns
    -------
    str
        ``nf4``; ``4 bit`` where blocks of 32 values hold at most 16 different ones, whatever
        the scale (q4_0, q4_1, AWQ, GPTQ); ``bf16``, ``fp16``, else ``fp32``.
    """
    weight = weight.detach().float()
    if weight.dim() > 1 and weight.numel() >= 64:
        few = in_blocks(weight, 64)[: max(1, weight.numel() // 64)]
        if _on_nf4(few[:64]) and _on_nf4(few):
            return "nf4"
        small = few.view(-1, 32)
        if _four_bits(small[:64]) and _four_bits(small):
            return "4 bit"
    for name, kind in _TYPES.items():
        if bool((weight.to(kind).float() == weight).all()):
            return name
    return "fp32"


def _on_nf4(blocks: Tensor) -> bool:
    places = _places(blocks)
    return bool(((places - NF4[torch.bucketize(places, _BETWEEN)]).abs() <= STORED).all())


def _four_bits(blocks: Tensor) -> bool:
    ordered = blocks.sort(1).values
    return bool((1 + (ordered[:, 1:] != ordered[:, :-1]).sum(1) <= 16).all())
