"""Random updates of equal spectrum, in a model's place.

What B's update does that any update of its size and shape would not: A with random directions and
the singular values of W_B − W_A in every matrix is the null that needs no training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.engine.families import read_model
from circuitgraph.engine.interface import Engine
from circuitgraph.models.basis import ALIKE
from circuitgraph.models.stored import reload
from circuitgraph.runs.comparable import incomparable
from circuitgraph.runs.record import Variant
from circuitgraph.updates.changes import model_changes, tensors_of, untie_alike
from circuitgraph.updates.measure import cosine
from circuitgraph.updates.spectrum import Spectrum

Answers = list[Tensor]
"""Per prompt: its decision (one number), or the log-probabilities of the next token [V]."""
INSTEAD = "take variants of one base"


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
