"""Whether the base that an adapter names is available and differs from the given one."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from circuitgraph.models.adapters import adapter_settings
from circuitgraph.models.basis import ALIKE
from circuitgraph.models.variants import fingerprints, model_folder

COMPARED = 8
"""Matrices that are compared."""


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
    cosines = _cosines(base, origin)
    if not cosines or float(torch.tensor(cosines).median()) >= ALIKE:
        return ""
    return (
        f"{adapter}: was trained on {origin}, whose weights are those of another model than of "
        f"{base} (cosine {float(torch.tensor(cosines).median()):.2f} in the median matrix)"
    )


def _cosines(a: Path, b: Path) -> list[float]:
    first, second = _matrices(a), _matrices(b)
    shared = [name for name in sorted(first) if name in second][:COMPARED]
    pairs = ((_read(first[name], name), _read(second[name], name)) for name in shared)
    return [
        float((x * y).sum() / (x.norm() * y.norm()).clamp_min(1e-300))
        for x, y in pairs
        if x.shape == y.shape
    ]


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
    return tensor.double()
