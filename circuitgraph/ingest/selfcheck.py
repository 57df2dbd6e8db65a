"""Before anything is measured: is our forward the library's, and does the adapter act?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from circuitgraph.engine.families import from_hf
from circuitgraph.engine.forward import forward, logits
from circuitgraph.engine.model import Model
from circuitgraph.errors import InputError
from circuitgraph.tokens import Encoded
from circuitgraph.variants import LoadedVariant

TOLERANCE = 1e-3
PROBES = 4


@dataclass(frozen=True)
class SelfCheck:
    """Differences of logits, relative to the largest logit.

    Attributes:
        logits: ours (adapter merged) against the library's (adapter unmerged).
        adapter: the library's with against without the adapter; None without one.
        probes: prompts compared.
    """

    logits: float
    adapter: float | None
    probes: int

    @property
    def adapter_is_silent(self) -> bool:
        """An adapter was given and changes nothing."""
        return self.adapter == 0.0

    def to_dict(self) -> dict[str, Any]:
        """For ``run.json``."""
        return asdict(self)


@torch.no_grad()
def checked_model(loaded: LoadedVariant, prompts: Sequence[Encoded]) -> tuple[Model, SelfCheck]:
    """Merge the adapter, read the weights, and compare logits on a few of the prompts.

    Raises:
        InputError: logits are not finite, or ours differ by more than 1e-3.
    """
    probes = _probes(prompts)
    reference = [loaded.hf(tokens).logits[0] for tokens in probes]
    if not all(bool(r.isfinite().all()) for r in reference):
        raise InputError(f"variant {loaded.variant.name!r}: its logits are not finite")
    adapter = _adapter_change(loaded, probes, reference)
    model = from_hf(loaded.merged())
    ours = [logits(model, forward(model, tokens).final)[0] for tokens in probes]
    difference = _relative(ours, reference)
    if not difference <= TOLERANCE:
        raise InputError(
            f"variant {loaded.variant.name!r}: our forward differs from the library's by "
            f"{difference:.1e} of its largest logit (limit {TOLERANCE:g}); this model uses "
            "something the engine does not know, please report its config.json"
        )
    return model, SelfCheck(difference, adapter, len(probes))


def _probes(prompts: Sequence[Encoded]) -> list[Tensor]:
    longest = max(prompts, key=lambda p: len(p.prompt))
    chosen = dict.fromkeys([longest.prompt, *(p.prompt for p in prompts[: PROBES - 1])])
    return [torch.tensor([tokens]) for tokens in chosen]


def _adapter_change(
    loaded: LoadedVariant, probes: Sequence[Tensor], reference: Sequence[Tensor]
) -> float | None:
    if not loaded.has_adapter:
        return None
    with loaded.hf.disable_adapter():
        base = [loaded.hf(tokens).logits[0] for tokens in probes]
    return _relative(reference, base)


def _relative(ours: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    largest = max(float(r.abs().max()) for r in reference)
    pairs = zip(ours, reference, strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs) / max(largest, 1e-30)
