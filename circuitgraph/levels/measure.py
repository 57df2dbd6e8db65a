"""What only both models together can tell: their weights, and where each head looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import torch

from circuitgraph.base.components import digest
from circuitgraph.engine.batches import right_padded
from circuitgraph.engine.bridge.engine import HookedModel
from circuitgraph.engine.native import NativeModel
from circuitgraph.models.hooked import alike_pair
from circuitgraph.models.stored import BATCH, ModelPair, matrices
from circuitgraph.nodes.attention import patterns
from circuitgraph.nodes.matrices import component_weights
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs import artefacts
from circuitgraph.runs.record import Run

METHOD = 1
KEYS = ("template", "bos")
AGAIN = "ask for the levels again"


@dataclass(frozen=True, eq=False)
class Together:
    """Two models held together.

    Attributes
    ----------
    cosine
        Between all their weight matrices laid end to end.
    updates
        Cosine between what each adapter adds to the base that both share; None where they share
        none or one of them changes nothing.
    apart : float32 [n × heads]
        Of every prompt of the run of A, in its order, and every head: total variation distance
        of the attention from the last prompt token, 0 to 1.
    """

    cosine: float
    updates: float | None
    apart: np.ndarray


def kept_together(a: Run, b: Run) -> Together | None:
    """What was measured before of the models of two runs; ``InputError`` where it is damaged."""
    told = artefacts.get(a.beside(f"{_name(b)}.json"), itemgetter("cosine", "updates"), AGAIN)
    arrays = artefacts.get(a.beside(f"{_name(b)}.safetensors"), dict, AGAIN)
    if told is None or arrays is None:
        return None
    cosine, updates = told
    return Together(cosine, updates, arrays["apart"])


def held_together(
    a: Run, b: Run, models: AbstractContextManager[ModelPair] | None = None
) -> Together:
    """Hold the models of two runs together, and keep what is found beside the run of A.

    Parameters
    ----------
    a, b
        Runs on the same prompts, of models with matrices of the same shapes.
    models
        Lends both models, where they are not in files.

    Raises
    ------
    UsageError, InputError
        Tables, families without a reader, files that are gone or changed, other shapes or tokens.
    """
    with models or nullcontext(alike_pair(a, b, "levels", KEYS)) as pair:
        found = Together(_cosine(*pair.engines), _updates(pair), _attention(pair))
    record, arrays = a.beside(f"{_name(b)}.json"), a.beside(f"{_name(b)}.safetensors")
    if record is not None and arrays is not None:
        artefacts.put(arrays, {"apart": found.apart})
        artefacts.put(record, {"cosine": found.cosine, "updates": found.updates})
    return found


def _name(other: Run) -> str:
    """Ends in the other run's id, by which ``discard_run`` finds what goes with it."""
    return f"levels-{digest(METHOD)[:12]}-{other.id}"


@torch.no_grad()
def _cosine(a: NativeModel | HookedModel, b: NativeModel | HookedModel) -> float:
    """Cosine of all matrices; tied embeddings count once."""
    squares_a = squares_b = moved = 0.0
    for x, y in _matrices(a, b):
        x, y = x.double(), y.double()
        squares_a += float(x.pow(2).sum())
        squares_b += float(y.pow(2).sum())
        moved += float((y - x).pow(2).sum())
    norms = squares_a**0.5, squares_b**0.5
    # ‖a − b‖² = (‖a‖ − ‖b‖)² + 2 ‖a‖ ‖b‖ (1 − cos): next to 1 the product itself has no digits.
    lost = max(moved - (norms[0] - norms[1]) ** 2, 0.0) / (2 * norms[0] * norms[1])
    return 1.0 - lost


def _matrices(*models: NativeModel | HookedModel) -> Iterator[tuple[torch.Tensor, ...]]:
    groups = zip(*map(_of_model, models), strict=True)
    yield (first := next(groups))
    for group in groups:
        if any(x.data_ptr() != y.data_ptr() for x, y in zip(group, first, strict=True)):
            yield group


def _of_model(model: NativeModel | HookedModel) -> Iterator[torch.Tensor]:
    """All matrices, embeddings first."""
    if not isinstance(model, HookedModel):
        return matrices(model)
    return (part for (_, kind), part in component_weights(model).items() if not kind)


@torch.no_grad()
def _updates(pair: ModelPair) -> float | None:
    base = pair.shared_base()
    if base is None:
        return None
    product = first = second = 0.0
    for start, x, y in _matrices(base, *pair.engines):
        u, v = x.double() - start, y.double() - start
        product += float((u * v).sum())
        first, second = first + float(u.pow(2).sum()), second + float(v.pow(2).sum())
    return product / (first * second) ** 0.5 if first and second else None


@torch.no_grad()
def _attention(pair: ModelPair) -> np.ndarray:
    prompts, parts = pair.a.prompts, []
    for start in range(0, len(prompts), BATCH):
        parts.append(_apart(pair.engines, prompts[start : start + BATCH]))
    return np.concatenate(parts)


def _apart(engines: tuple[NativeModel, NativeModel], prompts: tuple[Encoded, ...]) -> np.ndarray:
    tokens, last = right_padded([prompt.prompt for prompt in prompts])
    both = [[w for w, _ in patterns(engine, tokens, last + 1, last)] for engine in engines]
    found = [(x - y).abs().sum(-1) / 2 for x, y in zip(*both, strict=True)]
    return np.asarray(torch.cat(found, 1).float().numpy())
