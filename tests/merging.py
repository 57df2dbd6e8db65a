"""Adapters merged into rounded weights, by plain numpy: models whose update was rounded away."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

NF4 = np.array(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
        *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
        *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
        *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
    ],
    np.float32,
)


def nf4(weight: np.ndarray) -> np.ndarray:
    """Blocks of 64 values in memory's order, each by its largest magnitude."""
    blocks = weight.astype(np.float32).reshape(-1, 64)
    scale = np.abs(blocks).max(1, keepdims=True)
    nearest = np.abs((blocks / scale)[..., None] - NF4).argmin(-1)
    return (NF4[nearest] * scale).reshape(weight.shape)


def bf16(weight: np.ndarray) -> np.ndarray:
    return torch.from_numpy(weight.astype(np.float32)).bfloat16().float().numpy()


def put(name: str, weight: np.ndarray, into: str) -> np.ndarray:
    """A tensor as it is stored: embeddings and vectors are not put into 4 bits."""
    if into == "fp32":
        return weight.astype(np.float32)
    linear = weight.ndim == 2 and "embed" not in name and "lm_head" not in name
    return nf4(weight) if into == "nf4" and linear else bf16(weight)


def updates(adapter: Path) -> Iterator[tuple[str, np.ndarray]]:
    """ΔW = (alpha / r) B A of every module of a plain LoRA adapter, float64."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    tensors = load_file(adapter / "adapter_model.safetensors")
    for key, a in tensors.items():
        if found := re.fullmatch(r"base_model\.model\.(.*)\.lora_A\.weight", key):
            b = tensors[key.replace("lora_A", "lora_B")]
            scale = config["lora_alpha"] / config["r"]
            yield f"{found[1]}.weight", scale * (b.astype(np.float64) @ a.astype(np.float64))


def merged(base: Path, into: str, out: Path, adapter: Path | None = None, size: float = 1) -> Path:
    """The base put into a format, an adapter's update times ``size`` added, put into it again."""
    weights = load_file(base / "model.safetensors")
    kept = {name: put(name, weight, into) for name, weight in weights.items()}
    for name, update in updates(adapter) if adapter else ():
        kept[name] = put(name, (kept[name] + size * update).astype(np.float32), into)
    out.mkdir()
    for file in base.iterdir():
        if file.suffix in (".json", ".jinja"):
            shutil.copy(file, out)
    save_file(kept, out / "model.safetensors", {"format": "pt"})
    return out
