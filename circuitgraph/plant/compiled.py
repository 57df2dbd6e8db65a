"""Hand-written weights: one-hot features in slots of the residual stream.

Every feature is kept twice with opposite signs, so that the stream's mean is 0 and its size
the same at every position: a LayerNorm only scales it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad, relu

from circuitgraph.engine.model import Attention, Block, Linear, Mlp, Model, Norm

WORDS = 8
TOKENS = WORDS + 1
"""The words, and a token that begins every prompt."""
POSITIONS = 16
SHARP = 20.0
HEADS = 2
_SIZES = {
    "token": TOKENS,
    "position": POSITIONS,
    "previous": TOKENS,
    "copy": TOKENS,
    "again": TOKENS,
    "answer": TOKENS,
}
FEATURES = sum(_SIZES.values())
WIDTH = 2 * FEATURES
SIZE = WIDTH // HEADS
EPS = 1e-5


def _start(slot: str) -> int:
    names = list(_SIZES)
    return sum(_SIZES[name] for name in names[: names.index(slot)])


def _reads(slot: str) -> Tensor:
    """Projection from the stream to a slot's features [WIDTH × features]."""
    eye = torch.eye(FEATURES, dtype=torch.float64)
    eye = eye[:, _start(slot) : _start(slot) + _SIZES[slot]]
    return torch.cat([eye, -eye]) / 2


def _writes(slot: str) -> Tensor:
    """Projection from features to a slot of the stream [features × WIDTH]."""
    return 2 * _reads(slot).T


def _shifted(words: int) -> Tensor:
    """Cyclic shift of words by some steps [TOKENS × TOKENS]."""
    order = [*((i + words) % WORDS for i in range(WORDS)), WORDS]
    return torch.eye(TOKENS, dtype=torch.float64)[order]


@dataclass(frozen=True)
class _Head:
    """Query, key, value [WIDTH × m, m, n] and output [n × WIDTH] of one head."""

    query: Tensor
    key: Tensor
    value: Tensor
    out: Tensor


def _previous() -> _Head:
    """Previous-token head."""
    before = torch.eye(POSITIONS, dtype=torch.float64).roll(-1, 1)
    before[0] = 0
    position = _reads("position")
    return _Head(position @ before, position, _reads("token"), _writes("previous"))


def _copy(source: str, into: str) -> _Head:
    """Head that copies one slot to another at its own position."""
    return _Head(_reads("position"), _reads("position"), _reads(source), _writes(into))


def _looking_back(shift: int) -> _Head:
    """Induction head: attends to tokens after earlier copies of the present one."""
    read = _reads("previous") @ _shifted(shift)
    return _Head(_reads("token"), read, _reads("token"), _writes("answer"))


def _attention(features: int, *heads: _Head) -> Attention:
    """Attention of two heads with so many active features per position."""

    def side_by_side(parts: list[Tensor]) -> Linear:
        weight = torch.cat([pad(part, (0, SIZE - part.shape[1])) for part in parts], 1)
        return Linear(weight, torch.zeros(HEADS * SIZE, dtype=torch.float64))

    out = torch.cat([pad(head.out, (0, 0, 0, SIZE - len(head.out))) for head in heads])
    return Attention(
        norm=_norm(),
        q=side_by_side([SHARP * head.query for head in heads]),
        k=side_by_side([head.key for head in heads]),
        v=side_by_side([head.value / _level(features) for head in heads]),
        q_norm=None,
        k_norm=None,
        out=Linear(out, torch.zeros(WIDTH, dtype=torch.float64)),
        post=None,
        scale=SIZE**-0.5,
        window=None,
    )


def _level(features: int) -> float:
    """Value of a feature after LayerNorm with so many active features."""
    return (WIDTH / (2 * features)) ** 0.5


def _no_mlp() -> Mlp:
    up = Linear(torch.zeros(WIDTH, 1).double(), torch.zeros(1).double())
    down = Linear(torch.zeros(1, WIDTH).double(), torch.zeros(WIDTH).double())
    return Mlp(_norm(), None, up, down, None)


def _sums(shift: int) -> Mlp:
    """MLP with one neuron per pair of present and previous token."""
    first = torch.arange(WORDS).repeat_interleave(WORDS)
    second = torch.arange(WORDS).repeat(WORDS)
    read = (_reads("previous") @ _shifted(shift))[:, first] + _reads("token")[:, second]
    threshold = torch.full((WORDS**2,), -1.5, dtype=torch.float64)
    written = 2 * _writes("answer")[(first + second) % WORDS]
    none = torch.zeros(WIDTH, dtype=torch.float64)
    return Mlp(_norm(), None, Linear(read / _level(4), threshold), Linear(written, none), None)


def _norm() -> Norm:
    ones, zeros = torch.ones(WIDTH).double(), torch.zeros(WIDTH).double()
    return Norm(ones, zeros, EPS, centre=True)


def induction(shift: int) -> tuple[Block, ...]:
    """Blocks of the program induction."""
    return (
        Block(_attention(2, _previous(), _copy("token", "copy")), _no_mlp()),
        Block(_attention(4, _looking_back(shift), _copy("copy", "again")), _no_mlp()),
    )


def lookup(shift: int) -> tuple[Block, ...]:
    """Blocks of the program lookup."""
    return (Block(_attention(2, _previous(), _copy("token", "copy")), _sums(shift)),)


def compiled(blocks: tuple[Block, ...]) -> Model:
    """A model of given blocks."""
    return Model(
        family="gpt2",
        width=WIDTH,
        heads=HEADS,
        kv_heads=HEADS,
        head_size=SIZE,
        embed=_writes("token"),
        embed_scale=1.0,
        positions=_writes("position"),
        rotary=(),
        max_positions=POSITIONS,
        blocks=blocks,
        norm=_norm(),
        unembed=4 * _reads("answer").T,
        activation=relu,
    )
