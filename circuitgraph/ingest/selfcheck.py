"""Our forward against the library's; and, by the library's, the totals of an adapter's base."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.errors import InputError, first_line
from circuitgraph.engine.batches import right_padded
from circuitgraph.engine.families import read_model
from circuitgraph.engine.families.rotary import border_of
from circuitgraph.engine.interface import Engine
from circuitgraph.models.variants import LoadedVariant
from circuitgraph.prompts.tokens import Encoded

TOLERANCE = 1e-3
PROBES = 4


@dataclass(frozen=True)
class SelfCheck:
    """Differences of logits, relative to the largest logit.

    Attributes
    ----------
    logits : float
        Ours (adapter merged) against the library's (adapter unmerged).
    adapter : float, optional
        The library's with against without the adapter.
    probes : int
        Prompts compared.
    forward : {"engine", "bridge"}
        ``bridge`` for families without a reader.
    parts : float, optional
        Of a bridge, the error of the sum of its contributions.
    """

    logits: float
    adapter: float | None
    probes: int
    forward: str = "engine"
    parts: float | None = None

    @property
    def adapter_is_silent(self) -> bool:
        """Whether an adapter changes nothing."""
        return self.adapter == 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@torch.no_grad()
def checked_model(loaded: LoadedVariant, prompts: Sequence[Encoded]) -> tuple[Engine, SelfCheck]:
    """Merge the adapter, read the weights, and compare logits on a few of the prompts.

    Raises
    ------
    InputError
        Logits are not finite, or ours differ by more than 1e-3; a family that neither the
        engine nor hooks can measure.
    """
    probes = _probes(prompts, border_of(loaded.hf.config))
    reference = _reference(loaded, probes)
    if not all(bool(r.isfinite().all()) for r in reference):
        raise InputError(f"variant {loaded.variant.name!r}: its logits are not finite")
    adapter = _adapter_change(loaded, probes, reference)
    model = read_model(loaded.merged(), loaded.tokenizer, loaded.variant.base, probes[0])
    ours = _ours(model, probes)
    difference = _relative(ours, reference)
    if not difference <= TOLERANCE:
        raise InputError(
            f"variant {loaded.variant.name!r}: our forward differs from the library's by "
            f"{difference:.1e} of its largest logit (limit {TOLERANCE:g}); this model uses "
            f"something the {model.kind} does not know, please report its config.json"
        )
    parts = model.check_parts(loaded.variant.base, probes)
    return model, SelfCheck(difference, adapter, len(probes), model.kind, parts)


def _reference(loaded: LoadedVariant, probes: Sequence[Tensor]) -> list[Tensor]:
    try:
        return [loaded.hf(tokens).logits[0] for tokens in probes]
    except Exception as error:  # of any family's own code, whatever its config.json says
        raise InputError(
            f"{loaded.variant.base}: the transformers library itself cannot run this "
            f"{loaded.variant.model_type} model ({first_line(error)})"
        ) from error


def _ours(model: Engine, probes: Sequence[Tensor]) -> list[Tensor]:
    """Our logits of all probes in one batch: a row must not depend on its neighbours."""
    tokens, last = right_padded([probe[0].tolist() for probe in probes])
    found = model.logits(tokens, last + 1)
    return [logits[: end + 1] for logits, end in zip(found, last.tolist(), strict=True)]


def _probes(prompts: Sequence[Encoded], border: int | None) -> list[Tensor]:
    longest = max(prompts, key=lambda p: len(p.prompt))
    rows = [longest.prompt, *(p.prompt for p in prompts[: PROBES - 1])]
    if border is not None:  # one row on either side of it, where the prompts have both
        every = [row for p in prompts for row in _shown(p)]
        rows += [max(every, key=len), min(every, key=len)]
    return [torch.tensor([tokens]) for tokens in dict.fromkeys(rows)]


def _shown(prompt: Encoded) -> list[tuple[int, ...]]:
    """All rows that are run of a prompt."""
    texts = [text for text in (prompt.prompt, prompt.corrupt) if text is not None]
    answers = [a[:-1] for a in (prompt.answer, prompt.wrong_answer) if a is not None]
    return [text + answer for text in texts for answer in answers or [()]]


def _adapter_change(
    loaded: LoadedVariant, probes: Sequence[Tensor], reference: Sequence[Tensor]
) -> float | None:
    if not loaded.has_adapter:
        return None
    with warnings.catch_warnings(), loaded.hf.disable_adapter():
        warnings.simplefilter("ignore")  # of biases that stay; what is asked is whether all acts
        base = [loaded.hf(tokens).logits[0] for tokens in probes]
    return _relative(reference, base)


def _relative(ours: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    largest = max(float(r.abs().max()) for r in reference)
    pairs = zip(ours, reference, strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs) / max(largest, 1e-30)


@torch.no_grad()
def base_totals(peft_model: Any, prompts: Sequence[Encoded]) -> np.ndarray:
    """decision(corrupt) − decision(clean) of the base, with the adapter disabled; float64 [n].

    Signs are the base's, so that they do not depend on which variant is ingested first. Prompts
    run one by one in the library's own forward, once a prompt set. ``peft_model`` is unmerged.
    """
    with warnings.catch_warnings(), peft_model.disable_adapter():
        warnings.simplefilter("ignore")  # of trained biases, which peft leaves in place
        return np.array(
            [
                _decision(peft_model, p, p.corrupt or ()) - _decision(peft_model, p, p.prompt)
                for p in prompts
            ]
        )


def _decision(hf: Any, prompt: Encoded, text: tuple[int, ...]) -> float:
    sides = (prompt.answer, *prompt.also), (prompt.wrong_answer, *prompt.also_wrong)
    right, wrong = ([_log_p(hf, text, answer) for answer in side] for side in sides)
    return float(np.logaddexp.reduce(right) - np.logaddexp.reduce(wrong))


def _log_p(hf: Any, text: tuple[int, ...], answer: tuple[int, ...]) -> float:
    tokens = torch.tensor([text + answer])
    log_p = hf(tokens).logits[0, len(text) - 1 : -1].log_softmax(-1)
    return float(log_p.gather(1, tokens[0, len(text) :, None]).sum())
