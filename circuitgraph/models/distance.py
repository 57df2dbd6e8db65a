"""Distance of two variants: the size of the update, and its effect on predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from circuitgraph.base.errors import CircuitGraphError
from circuitgraph.models.stored import reencoded, reload
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Run


def drift(a: Run, b: Run) -> dict[str, float] | None:
    """``weights``: ‖W_B − W_A‖ / ‖W_A‖ over all weights; ``kl``: mean KL(A ‖ B) of the next token.

    In nats, over the whole vocabulary after each prompt. None where the models cannot be loaded or
    have different shapes.
    """
    if not (a.variant.base and b.variant.base):
        return None
    try:
        model_a, tokenizer = reload(a.variant)
        model_b, _ = reload(b.variant)
        prompts = reencoded(a, tokenizer)
    except CircuitGraphError:
        return None
    if _shapes(model_a) != _shapes(model_b):
        return None
    return {"weights": _weight_change(model_a, model_b), "kl": _mean_kl(model_a, model_b, prompts)}


def _named(model: Any) -> dict[str, torch.Tensor]:
    """All parameters; tied ones under both their names."""
    return dict(model.named_parameters(remove_duplicate=False))


def _shapes(model: Any) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in _named(model).items()}


@torch.no_grad()
def _weight_change(a: Any, b: Any) -> float:
    """‖W_B − W_A‖ / ‖W_A‖ over all parameters (Frobenius)."""
    left, right = _named(a), _named(b)
    change = size = 0.0
    # In one order: a set's changes from process to process, and the last bits of a sum with it.
    for name in sorted({name for model in (a, b) for name, _ in model.named_parameters()}):
        before = left[name].double()  # one at a time: all in double would take thrice the room
        change += float((right[name].double() - before).pow(2).sum())
        size += float(before.pow(2).sum())
    return (change / size) ** 0.5


@torch.no_grad()
def _mean_kl(a: Any, b: Any, prompts: Sequence[Encoded]) -> float:
    """Mean over prompts of KL(A ‖ B) of the next token's distribution, in nats."""
    total = 0.0
    for prompt in prompts:
        tokens = torch.tensor([prompt.whole])
        p, q = (m(tokens).logits[0, -1].double().log_softmax(-1) for m in (a, b))
        total += float((p.exp() * (p - q)).sum())
    return total / len(prompts)
