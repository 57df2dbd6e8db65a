"""Random updates of equal spectrum: beside an update's change of decisions, and in a model's place.

What B's update does that any update of its size and shape would not: A with random directions and
the singular values of W_B − W_A in every matrix is the null that needs no training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.base.progress import Reporter
from circuitgraph.engine.batches import right_padded
from circuitgraph.engine.families import read_model
from circuitgraph.engine.families.common import embedded, longest
from circuitgraph.engine.interface import Engine
from circuitgraph.models.basis import ALIKE
from circuitgraph.models.stored import reload
from circuitgraph.prompts import PromptSet
from circuitgraph.prompts.tokens import Encoded, encode
from circuitgraph.runs.comparable import incomparable
from circuitgraph.runs.record import Variant
from circuitgraph.updates.changes import model_changes, tensors_of, untie_alike
from circuitgraph.updates.measure import cosine
from circuitgraph.updates.record import Moves
from circuitgraph.updates.spectrum import Spectrum

MOST = 32
"""Prompts asked at most, spread over the scenarios."""
ROWS = 8
"""Rows of tokens at once."""
Answers = list[Tensor]
"""Per prompt: its decision (one number), or the log-probabilities of the next token [V]."""
INSTEAD = "take variants of one base"


def chosen_prompts(
    prompts: PromptSet, hf: Any, tokenizer: Any, *, chat_template: bool
) -> list[Encoded]:
    """At most ``MOST`` distinct prompts as token ids, balanced over scenarios."""
    groups: dict[str, list[Any]] = {}
    for prompt in prompts.canonical().distinct("correlation")[0]:
        groups.setdefault(prompt.scenario, []).append(prompt)
    turns = [group[i] for i in range(MOST) for group in groups.values() if i < len(group)]
    return list(
        encode(
            PromptSet(tuple(turns[:MOST]), prompts.source),
            tokenizer,
            chat_template=chat_template,
            max_positions=longest(hf.config),
            rows=embedded(hf),
        ).prompts
    )


@torch.no_grad()
def answers(hf: Any, prompts: Sequence[Encoded]) -> Answers:
    """Decisions of a model, or next-token distributions without answers."""
    if not all(p.answer and p.wrong_answer for p in prompts):
        return [found[0] for found in _log_p(hf, [(p.prompt, ()) for p in prompts])]
    pairs = [(p.prompt, side[:-1]) for p in prompts for side in (p.answer, p.wrong_answer)]
    distinct = list(dict.fromkeys(pairs))
    by_pair = dict(zip(distinct, _log_p(hf, distinct), strict=True))

    def log_p(prompt: Encoded, answer: tuple[int, ...]) -> Tensor:
        rows = by_pair[prompt.prompt, answer[:-1]]
        return rows.gather(1, torch.tensor(answer)[:, None]).sum()

    return [log_p(p, p.answer) - log_p(p, p.wrong_answer) for p in prompts]


def _log_p(hf: Any, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> Iterator[Tensor]:
    """Log-probabilities of the next token after a text and after each token of what follows.

    Rows [1 + tokens that follow, V] of every pair, in order. Rows are padded on the right, where
    a causal model's earlier positions do not look.
    """
    for start in range(0, len(pairs), ROWS):
        some = pairs[start : start + ROWS]
        tokens, _ = right_padded([[*text, *more] for text, more in some])
        for (text, more), logits in zip(some, hf(tokens).logits, strict=True):
            yield logits[len(text) - 1 : len(text) + len(more)].double().log_softmax(-1)


def apart(a: Answers, b: Answers, prompts: Sequence[Encoded]) -> float:
    """Mean |change of the decision|, or mean KL(A ‖ B), over scenarios with equal weight."""
    groups: dict[str, list[float]] = {}
    for x, y, prompt in zip(a, b, prompts, strict=True):
        far = (x - y).abs() if x.dim() == 0 else (x.exp() * (x - y)).sum()
        groups.setdefault(prompt.source.scenario, []).append(float(far))
    means = [sum(group) / len(group) for group in groups.values()]
    return sum(means) / len(means)


def moves(
    tuned: Answers,
    base: Any,
    spectra: Mapping[str, Spectrum],
    prompts: Sequence[Encoded],
    draws: int,
    seed: int,
    reporter: Reporter,
) -> Moves:
    """Change of decisions by an update and by random ones.

    Parameters
    ----------
    tuned
        What the updated model answers.
    base
        The library's model of the base; it is moved and put back.
    spectra
        Of the update, by tensor.
    prompts
        What was asked.
    draws, seed : int
        Random updates, and the seed of their directions.
    """
    before = answers(base, prompts)
    nulls = []
    with reporter.progress(draws, "random updates", "update") as progress:
        for draw in range(draws):
            with moved_at_random(base, spectra, seed, draw):
                nulls.append(apart(before, answers(base, prompts), prompts))
            progress.advance(1)
    measure = "decision" if before[0].dim() == 0 else "kl"
    return Moves(measure, apart(before, tuned, prompts), tuple(nulls), len(prompts))


@contextmanager
def moved_at_random(
    hf: Any, spectra: Mapping[str, Spectrum], seed: int, draw: int
) -> Iterator[None]:
    """Context with a random update of a model."""
    weights = tensors_of(hf)
    before = {name: weights[name].clone() for name in spectra}
    move(weights.__getitem__, spectra, seed, draw)
    try:
        yield
    finally:
        for name, old in before.items():
            weights[name].copy_(old)


def move(
    weight: Callable[[str], Tensor], spectra: Mapping[str, Spectrum], seed: int, draw: int
) -> None:
    """Add a random update to weights, in place.

    Every tensor's directions come of the seed, the number of the draw and its place among the
    sorted names, so that draw 2 is the same whether three or thirty are made.
    """
    for place, name in enumerate(sorted(spectra)):
        generator = torch.Generator().manual_seed(_seed(seed, draw, place))
        tensor = weight(name)
        tensor.copy_((tensor.double() + spectra[name].draw(generator)).to(tensor.dtype))


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True, eq=False)
class Randomised:
    """Model A, for random updates as large as B − A.

    Attributes
    ----------
    variant : Variant
        A.
    hf, tokenizer
        Its library's model, adapter merged, and tokenizer.
    spectra : dict
        Of W_B − W_A, by tensor.
    """

    variant: Variant
    hf: Any
    tokenizer: Any
    spectra: dict[str, Spectrum]

    @classmethod
    def between(cls, a: Variant, b: Variant) -> Randomised:
        """Load both models and keep only A.

        Raises
        ------
        UsageError
            Models of no shared base, or with the same weights.
        InputError
            Files that are gone or no longer the same.
        """
        hf, tokenizer = reload(a)
        other, _ = reload(b)
        untie_alike(hf, other)
        _require_same_shapes(a, b, hf, other)
        spectra, cosines = _spectra(hf, other)
        if not spectra:
            raise UsageError(
                f"``null=random``: {quoted(a.name)} and {quoted(b.name)} have the same weights, so "
                "there is no update whose size a random one could have"
            )
        median = float(torch.tensor(cosines).median())
        if median < ALIKE:
            why = f"they share no base (cosine {median:.2f} in the median matrix)"
            raise incomparable(a, b, f"{why}, so nothing parts them that an update is", INSTEAD)
        return cls(a, hf, tokenizer, spectra)

    @contextmanager
    def engine(self, seed: int, draw: int, probe: tuple[int, ...]) -> Iterator[Engine]:
        """Context with A and a random update."""
        with torch.no_grad(), moved_at_random(self.hf, self.spectra, seed, draw):
            tokens = torch.tensor([probe])
            yield read_model(self.hf, self.tokenizer, self.variant.base, tokens)


def _require_same_shapes(a: Variant, b: Variant, first: Any, second: Any) -> None:
    shapes = [{name: t.shape for name, t in tensors_of(hf).items()} for hf in (first, second)]
    if shapes[0] != shapes[1]:
        raise incomparable(a, b, "their weights have different shapes", INSTEAD)


@torch.no_grad()
def _spectra(a: Any, b: Any) -> tuple[dict[str, Spectrum], list[float]]:
    found, cosines = {}, []
    for change in model_changes(a, b):
        moved = bool(change.meant.any())
        if change.before.dim() > 1:
            cosines.append(cosine(change.before, change.after) if moved else 1.0)
        if moved:
            found[change.name] = Spectrum.of(change.meant)
    return found, cosines
