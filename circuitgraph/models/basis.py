"""Distance of two models: whether they share a basis or an adapter's base is another, the size of
an update and its effect on predictions; and the precision of stored weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from circuitgraph.base.errors import CircuitGraphError
from circuitgraph.base.textfiles import stored_kinds
from circuitgraph.models.adapters import adapter_settings
from circuitgraph.models.memory import held_roundoff
from circuitgraph.models.stored import ModelPair, matrices, reencoded, reload
from circuitgraph.models.variants import fingerprints, model_folder
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.comparable import incomparable
from circuitgraph.runs.record import Run, Variant

ALIKE = 0.9
"""Cosine that the median matrix of two fine-tunes of one model exceeds."""

FOREIGN = 0.5
"""Cosine under which a single matrix says that its basis was changed."""

COMPARED = 8
"""Matrices that are compared."""

_ROUNDOFF = {"F64": 2.0**-53, "F32": 2.0**-24, "F16": 2.0**-11, "BF16": 2.0**-8}


def require_shared_basis(pair: ModelPair, instead: str = "") -> None:
    """Refuse to compare weights that are written in different bases.

    Adapters of one base share its basis. Other models need a cosine of at least 0.9 in the median
    matrix and under 0.5 in none, because a rewrite may change only a few. ``instead`` is what the
    UsageError offers beside ``shared_basis``.
    """
    a, b = pair.a.run.variant, pair.b.run.variant
    if a.fingerprints["weights"] == b.fingerprints["weights"]:
        return
    cosines = torch.tensor(
        [_cosine(x, y) for x, y in zip(*map(matrices, pair.engines), strict=True)]
    )
    median, least = float(cosines.median()), float(cosines.min())
    if median < ALIKE or least < FOREIGN:
        why = (
            "they share no base, and their weights do not look like one basis (cosine "
            f"{median:.2f} in the median matrix, {least:.2f} in the least alike; {ALIKE} and "
            f"{FOREIGN} are asked), so the same numbers may mean different things"
        )
        said = f"{instead}say that the basis is shared (``shared_basis``) if you know that it is"
        raise incomparable(a, b, why, said)


def _cosine(a: Tensor, b: Tensor) -> float:
    if torch.equal(a, b):
        return 1.0
    a, b = a.double(), b.double()
    return float((a * b).sum() / (a.norm() * b.norm()).clamp_min(1e-300))


def roundoff(variant: Variant) -> float:
    """Unit roundoff of the coarsest type that a variant's matrices are stored in."""
    if variant.in_memory:
        return float(torch.finfo(held_roundoff(variant)).eps) / 2
    return max(
        _ROUNDOFF.get(kind, 0.0)
        for file in model_folder(variant.base).glob("*.safetensors")
        for kind in stored_kinds(file).values()
    )


def other_base(base: Path, adapter: Path) -> str:
    """Evidence that an adapter was trained on another base, or "".

    Shapes say little: random adapters of two models of one family fit both. Where the folder that
    its config names is at hand, the weights there and those of the base are held together.
    """
    named = adapter_settings(adapter).get("base_model_name_or_path")
    if not isinstance(named, str) or not named or not (Path(named) / "config.json").is_file():
        return ""
    origin = model_folder(named)
    if fingerprints(origin, None)["weights"] == fingerprints(base, None)["weights"]:
        return ""
    sides = _matrices(base), _matrices(origin)
    shared = [name for name in sorted(sides[0]) if name in sides[1]][:COMPARED]
    pairs = [[_read(side[name], name) for side in sides] for name in shared]
    cosines = [_cosine(x, y) for x, y in pairs if x.shape == y.shape]
    median = float(torch.tensor(cosines).median()) if cosines else 1.0
    if median >= ALIKE:
        return ""
    return (
        f"{adapter}: was trained on {origin}, whose weights are those of another model than of "
        f"{base} (cosine {median:.2f} in the median matrix)"
    )


def _matrices(folder: Path) -> dict[str, Path]:
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as handle:
            for name in handle.keys():  # noqa: SIM118, no mapping
                if len(handle.get_slice(name).get_shape()) == 2:
                    found[name] = file
    return found


def _read(file: Path, name: str) -> Tensor:
    with safe_open(file, framework="pt") as handle:
        tensor: Tensor = handle.get_tensor(name)
    return tensor


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
