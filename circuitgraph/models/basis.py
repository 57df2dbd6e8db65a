"""Whether two models share a basis, or an adapter's base is another; how weights are rounded."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from circuitgraph.base.textfiles import stored_kinds
from circuitgraph.models.adapters import adapter_settings
from circuitgraph.models.memory import held_roundoff
from circuitgraph.models.stored import ModelPair, matrices
from circuitgraph.models.variants import fingerprints, model_folder
from circuitgraph.runs.comparable import incomparable
from circuitgraph.runs.record import Variant

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
    pairs = ([_read(side[name], name) for side in sides] for name in shared)  # two held at a time
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
