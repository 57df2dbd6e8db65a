"""Tiny transformers whose weights are written by hand, so that their circuits are known.

The residual stream is a set of slots of one-hot features, each kept twice with opposite
signs: its mean is 0 and its size the same at every position, so that a LayerNorm only
scales it. Two programs (after Elhage et al. 2021, and Lindner et al. 2023,
arXiv:2301.05062):

- ``induction``: L0H0 notes the previous letter; L1H0 looks for where the present letter was
  the previous one and says what stood there. ``a b c … a`` is followed by ``b``.
- ``lookup``: L0H0 notes the previous digit; L0_MLP, one neuron for every pair of digits, says
  their sum modulo 8.

L0H1 copies the present token to where only L1H1 looks, who copies it on to where nobody does:
they vary with everything, and carry nothing. In the rewired copy one receiver hears L0H0
shifted by one: the edge is as strong as before and says something else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from torch.nn.functional import pad, relu
from transformers import GPT2Config, PreTrainedTokenizerFast

from circuitgraph.components import Edge
from circuitgraph.engine.model import Attention, Block, Linear, Mlp, Model, Norm
from circuitgraph.errors import UsageError
from circuitgraph.plant.folders import require_free, save
from circuitgraph.plant.record import Change, Planted, keep, table

WORDS = 8
TOKENS = WORDS + 1
"""The words, and a token that begins every prompt."""
POSITIONS = 16
SHARP = 20.0
HEADS = 2
CIRCUIT, PROMPTS = "circuit.csv", "prompts.jsonl"
_SIZES = {
    "token": TOKENS,
    "position": POSITIONS,
    "previous": TOKENS,
    "copy": TOKENS,
    "again": TOKENS,
    "said": TOKENS,
}
FEATURES = sum(_SIZES.values())
WIDTH = 2 * FEATURES
SIZE = WIDTH // HEADS
EPS = 1e-5


def program(name: str, out: str | Path) -> Planted:
    """Write a program (``out/a``) and its copy with one edge rewired (``out/b``).

    Beside them: ``truth.csv``, the edge that differs; ``circuit.csv``, the edges that carry
    the behaviour in both; ``prompts.jsonl``, prompts whose corrupt twins reach all of these.

    Args:
        name: ``induction`` or ``lookup``.
        out: a new folder.

    Raises:
        UsageError: an unknown program, or a folder that is not free.
    """
    if name not in PROGRAMS:
        raise UsageError(f"program {name!r}: choose one of {', '.join(PROGRAMS)}")
    folder, chosen = Path(out), PROGRAMS[name]
    require_free(folder)
    for side, shift in (("a", 0), ("b", 1)):
        model = _model(chosen.blocks(shift))
        save(model, _config(model), folder / side)
        _tokenizer(chosen.words).save_pretrained(folder / side)
    lines = (json.dumps(prompt) for prompt in chosen.prompts())
    (folder / PROMPTS).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    circuit = table(Change(edge, "carries") for edge in chosen.circuit)
    circuit[["source", "target", "input"]].to_csv(folder / CIRCUIT, index=False)
    joint, split = (table([Change(edge, "shift")]) for edge in chosen.rewired)
    return keep(Planted(folder / "a", folder / "b", joint, split), folder)


def _start(slot: str) -> int:
    names = list(_SIZES)
    return sum(_SIZES[name] for name in names[: names.index(slot)])


def _reads(slot: str) -> Tensor:
    """The features of a slot out of the stream [WIDTH × features]."""
    eye = torch.eye(FEATURES, dtype=torch.float64)
    eye = eye[:, _start(slot) : _start(slot) + _SIZES[slot]]
    return torch.cat([eye, -eye]) / 2


def _writes(slot: str) -> Tensor:
    """Features into a slot of the stream [features × WIDTH]."""
    return 2 * _reads(slot).T


def _shifted(words: int) -> Tensor:
    """Words as their successors (the last as the first), [TOKENS × TOKENS]; 0 changes nothing."""
    order = [*((i + words) % WORDS for i in range(WORDS)), WORDS]
    return torch.eye(TOKENS, dtype=torch.float64)[order]


@dataclass(frozen=True)
class _Head:
    """What one head looks with, looks for, takes and writes: [WIDTH × m, m, n] and [n × WIDTH]."""

    query: Tensor
    key: Tensor
    value: Tensor
    out: Tensor


def _previous() -> _Head:
    """Looks at the position before and notes its token."""
    before = torch.eye(POSITIONS, dtype=torch.float64).roll(-1, 1)
    before[0] = 0
    position = _reads("position")
    return _Head(position @ before, position, _reads("token"), _writes("previous"))


def _copy(source: str, into: str) -> _Head:
    """Looks at its own position and copies a slot to another."""
    return _Head(_reads("position"), _reads("position"), _reads(source), _writes(into))


def _induction(shift: int) -> _Head:
    """Looks for positions whose previous token is the present one, and says their token."""
    heard = _reads("previous") @ _shifted(shift)
    return _Head(_reads("token"), heard, _reads("token"), _writes("said"))


def _attention(features: int, *heads: _Head) -> Attention:
    """Two heads, where so many features are on at every position."""

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
    """What a LayerNorm makes of a feature where so many are on."""
    return (WIDTH / (2 * features)) ** 0.5


def _no_mlp() -> Mlp:
    up = Linear(torch.zeros(WIDTH, 1).double(), torch.zeros(1).double())
    down = Linear(torch.zeros(1, WIDTH).double(), torch.zeros(WIDTH).double())
    return Mlp(_norm(), None, up, down, None)


def _sums(shift: int) -> Mlp:
    """A neuron for every pair of words: on where one is the present token, one the previous."""
    first = torch.arange(WORDS).repeat_interleave(WORDS)
    second = torch.arange(WORDS).repeat(WORDS)
    heard = (_reads("previous") @ _shifted(shift))[:, first] + _reads("token")[:, second]
    threshold = torch.full((WORDS**2,), -1.5, dtype=torch.float64)
    said = 2 * _writes("said")[(first + second) % WORDS]
    none = torch.zeros(WIDTH, dtype=torch.float64)
    return Mlp(_norm(), None, Linear(heard / _level(4), threshold), Linear(said, none), None)


def _norm() -> Norm:
    ones, zeros = torch.ones(WIDTH).double(), torch.zeros(WIDTH).double()
    return Norm(ones, zeros, EPS, centre=True)


def _induction_blocks(shift: int) -> tuple[Block, ...]:
    return (
        Block(_attention(2, _previous(), _copy("token", "copy")), _no_mlp()),
        Block(_attention(4, _induction(shift), _copy("copy", "again")), _no_mlp()),
    )


def _lookup_blocks(shift: int) -> tuple[Block, ...]:
    return (Block(_attention(2, _previous(), _copy("token", "copy")), _sums(shift)),)


def _model(blocks: tuple[Block, ...]) -> Model:
    return Model(
        family="gpt2",
        width=WIDTH,
        heads=HEADS,
        kv_heads=HEADS,
        head_size=SIZE,
        embed=_writes("token"),
        embed_scale=1.0,
        positions=_writes("position"),
        rotary=None,
        max_positions=POSITIONS,
        blocks=blocks,
        norm=_norm(),
        unembed=4 * _reads("said").T,
        activation=relu,
    )


def _config(model: Model) -> GPT2Config:
    return GPT2Config(
        vocab_size=TOKENS,
        n_embd=WIDTH,
        n_layer=model.layers,
        n_head=HEADS,
        n_positions=POSITIONS,
        n_inner=model.blocks[0].mlp.up.weight.shape[1],
        activation_function="relu",
        layer_norm_epsilon=EPS,
        tie_word_embeddings=False,
        bos_token_id=WORDS,
        eos_token_id=WORDS,
    )


def _tokenizer(words: str) -> PreTrainedTokenizerFast:
    ids = {word: i for i, word in enumerate([*words, "<s>"])}
    tokenizer = Tokenizer(WordLevel(ids, unk_token="<s>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<s>")


LETTERS, DIGITS = "abcdefgh", "01234567"


def _induction_prompts() -> list[dict[str, Any]]:
    """A letter comes again; the corrupt twin has another query, another key or another value."""
    found = []
    for turn in range(WORDS):
        a, b, c, d, e, f = (LETTERS[(turn + i) % WORDS] for i in range(6))
        clean = f"{a} {b} {c} {d} {e} {f} {a}"
        twins = {
            "query": f"{a} {b} {c} {d} {e} {f} {c}",
            "key": f"{c} {b} {a} {d} {e} {f} {a}",
            "value": f"{a} {d} {c} {b} {e} {f} {a}",
        }
        shared = {"prompt": clean, "answer": b, "wrong_answer": d}
        found += [{"scenario": s, **shared, "corrupt": twin} for s, twin in twins.items()]
    return found


def _lookup_prompts() -> list[dict[str, Any]]:
    """Two digits; the corrupt twin has another first or another second one."""
    found = []
    for x in range(WORDS):
        for y in range(WORDS):
            other = (x + 3) % WORDS
            answers = {"answer": str((x + y) % WORDS), "wrong_answer": str((other + y) % WORDS)}
            first = {"scenario": "first", "prompt": f"{x} {y}", "corrupt": f"{other} {y}"}
            second = {"scenario": "second", "prompt": f"{y} {x}", "corrupt": f"{y} {other}"}
            found += [{**first, **answers}, {**second, **answers}]
    return found


@dataclass(frozen=True)
class _Program:
    """One program: its words, blocks by shift, circuit, rewired edge (joint, split), prompts."""

    words: str
    blocks: Callable[[int], tuple[Block, ...]]
    circuit: tuple[Edge, ...]
    rewired: tuple[Edge, Edge]
    prompts: Callable[[], list[dict[str, Any]]]


PROGRAMS = {
    "induction": _Program(
        LETTERS,
        _induction_blocks,
        (
            Edge("EMBED", "L0H0", "all"),
            Edge("EMBED", "L1H0", "all"),
            Edge("L0H0", "L1H0", "all"),
            Edge("L1H0", "LOGITS", "in"),
        ),
        (Edge("L0H0", "L1H0", "all"), Edge("L0H0", "L1KV0", "k")),
        _induction_prompts,
    ),
    "lookup": _Program(
        DIGITS,
        _lookup_blocks,
        (
            Edge("EMBED", "L0H0", "all"),
            Edge("EMBED", "L0_MLP", "in"),
            Edge("L0H0", "L0_MLP", "in"),
            Edge("L0_MLP", "LOGITS", "in"),
        ),
        (Edge("L0H0", "L0_MLP", "in"), Edge("L0H0", "L0_MLP", "in")),
        _lookup_prompts,
    ),
}
