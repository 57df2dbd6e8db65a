"""Rounding by storage formats of weights: their grids, and what an update loses by them.

NF4 is the 4-bit NormalFloat of Dettmers, Pagnoni, Holtzman & Zettlemoyer (2023), QLoRA
(arXiv 2305.14314): blocks of 64 values divided by their largest magnitude, then the nearest of
the 16 numbers in its appendix E. ``q4_0`` is that of llama.cpp: blocks of 32 values, 16 even steps
of an eighth of the largest value, which is stored as float16.

The base is first put on the format's grid, as it would be stored, then the update is added and
the sum is put on the grid again: ΔW_left = R(R(W) + ΔW) − R(W). Of an update far below half a
step nearly nothing is left, although every number of the adapter was right.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from circuitgraph.updates.changes import Change
from circuitgraph.updates.record import FORMATS, Format

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


ENDS = ("embed_tokens", "lm_head", "wte", "wpe", "embed_in", "embed_out")
"""Modules that quantisation leaves in 16 bits."""


@dataclass(frozen=True)
class Left:
    """Survival of an update, as additive sums over tensors.

    Attributes
    ----------
    along : float
        ⟨ΔW_left, ΔW⟩.
    apart : float
        ‖ΔW_left − ΔW‖².
    meant : float
        ‖ΔW‖².
    """

    along: float = 0.0
    apart: float = 0.0
    meant: float = 0.0

    def __add__(self, other: Left) -> Left:
        """Sum over tensors."""
        return Left(self.along + other.along, self.apart + other.apart, self.meant + other.meant)

    @property
    def share(self) -> float:
        """⟨ΔW_left, ΔW⟩ / ‖ΔW‖²: 1 where all is left, 0 where nothing is; NaN of no update."""
        return self.along / self.meant if self.meant else float("nan")

    @property
    def error(self) -> float:
        """‖ΔW_left − ΔW‖ / ‖ΔW‖: 0 where all is left and nothing came with it."""
        return (self.apart / self.meant) ** 0.5 if self.meant else float("nan")


def left_of(meant: Tensor, left: Tensor) -> Left:
    """The sums of one tensor."""
    meant, left = meant.double(), left.double()
    return Left(
        float((left * meant).sum()),
        float((left - meant).pow(2).sum()),
        float(meant.pow(2).sum()),
    )


def survival(change: Change) -> dict[str, Left]:
    """Survival of one tensor's update in each format.

    Vectors and embeddings are kept in bfloat16 where matrices are put into 4 bits.
    """
    found: dict[str, Left] = {}
    for name in FORMATS:
        kind = name if name not in BLOCKS or _is_quantised(change) else "bf16"
        start = rounded(change.before, kind)
        end = rounded((start.double() + change.meant).float(), kind)
        found[name] = left_of(change.meant, end.double() - start.double())
    return found


def _is_quantised(change: Change) -> bool:
    return change.before.dim() == 2 and change.module not in ENDS
