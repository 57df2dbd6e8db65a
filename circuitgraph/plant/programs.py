"""Tiny transformers with hand-written weights and known circuits.

Two programs (after Elhage et al. 2021, and Lindner et al. 2023, arXiv:2301.05062):

- ``induction``: L0H0 notes the previous letter; L1H0 looks for where the present letter was
  the previous one and says what stood there. ``a b c … a`` is followed by ``b``.
- ``lookup``: L0H0 notes the previous digit; L0_MLP, one neuron for every pair of digits, says
  their sum modulo 8.

L0H1 copies the present token to where only L1H1 looks, who copies it on to where nobody does:
they vary with everything, and carry nothing. In the rewired copy one receiver reads L0H0
shifted by one: the edge is as strong as before and says something else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import GPT2Config, PreTrainedTokenizerFast

from circuitgraph.base.components import Edge
from circuitgraph.base.errors import UsageError
from circuitgraph.engine.model import Block, Model
from circuitgraph.plant.compiled import (
    EPS,
    HEADS,
    POSITIONS,
    TOKENS,
    WIDTH,
    WORDS,
    compiled,
    induction,
    lookup,
)
from circuitgraph.plant.folders import Change, Planted, keep, require_free, save, table

CIRCUIT, PROMPTS = "circuit.csv", "prompts.jsonl"


def program(name: str, out: str | Path) -> Planted:
    """Write a program (``out/a``) and its copy with one edge rewired (``out/b``).

    Beside them: ``truth.csv``, the edge that differs; ``circuit.csv``, the edges that carry
    the behaviour in both; ``prompts.jsonl``, prompts whose corrupt twins reach all of these.

    Parameters
    ----------
    name
        ``induction`` or ``lookup``.
    out
        A new folder.

    Raises
    ------
    UsageError
        An unknown program, or a folder that is not free.
    """
    if name not in PROGRAMS:
        raise UsageError(f"program {name!r}: choose one of {', '.join(PROGRAMS)}")
    folder, chosen = Path(out), PROGRAMS[name]
    require_free(folder)
    for side, shift in (("a", 0), ("b", 1)):
        model = compiled(chosen.blocks(shift))
        save(model, _config(model), folder / side)
        _tokenizer(chosen.words).save_pretrained(folder / side)
    lines = (json.dumps(prompt) for prompt in chosen.prompts())
    (folder / PROMPTS).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    circuit = table(Change(edge, "carries") for edge in chosen.circuit)
    circuit[["source", "target", "input"]].to_csv(folder / CIRCUIT, index=False)
    joint, split = (table([Change(edge, "shift")]) for edge in chosen.rewired)
    return keep(Planted(folder / "a", folder / "b", joint, split), folder)


def _config(model: Model) -> GPT2Config:
    return GPT2Config(
        vocab_size=TOKENS,
        n_embd=WIDTH,
        n_layer=model.layers,
        n_head=HEADS,
        n_positions=POSITIONS,
        n_inner=model.blocks[0].one_mlp.up.weight.shape[1],
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
    """Prompts with a repeated letter; corrupt twins change query, key or value."""
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
    """Prompts of two digits; corrupt twins change one."""
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
    """One program: words, blocks, circuit, rewired edge and prompts."""

    words: str
    blocks: Callable[[int], tuple[Block, ...]]
    circuit: tuple[Edge, ...]
    rewired: tuple[Edge, Edge]
    prompts: Callable[[], list[dict[str, Any]]]


PROGRAMS = {
    "induction": _Program(
        LETTERS,
        induction,
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
        lookup,
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
