"""Sketches of weights, to compare models without loading them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import digest
from circuitgraph.updates.changes import tensors_of
from circuitgraph.updates.rounding import BLOCKS, grid_of, in_blocks, nf4_codes

SAMPLED = 64
"""Values kept of every tensor."""


@torch.no_grad()
def sketch_of(hf: Any, prints: Mapping[str, str]) -> dict[str, Any]:
    """What ``diff.likeness`` compares, in plain JSON types.

    Parameters
    ----------
    hf
        The library's model, adapter merged.
    prints
        Hash of each tensor by name, as ``models.weights`` makes them.

    Returns
    -------
    dict
        ``tensors``, by name the beginning of its hash and, of a matrix on the grid of NF4, of the
        hash of its 4-bit codes; ``sample``, float32 values of each, 64 a tensor, in base64.
    """
    tensors = tensors_of(hf)
    values = torch.cat([_sample(tensor) for tensor in tensors.values()])
    return {
        "tensors": {name: [prints.get(name, "")[:16], _codes(t)] for name, t in tensors.items()},
        "sample": base64.b64encode(values.numpy().astype("<f4").tobytes()).decode("ascii"),
    }


def _sample(tensor: Tensor) -> Tensor:
    """Values at places spread evenly, with no period that rows could have."""
    flat = tensor.detach().reshape(-1)
    places = (torch.arange(SAMPLED, dtype=torch.float64) * 0.6180339887498949) % 1.0
    return flat[(places * len(flat)).long()].float().cpu()


def _codes(tensor: Tensor) -> str:
    if tensor.dim() < 2 or grid_of(tensor) != "nf4":
        return ""
    codes = nf4_codes(in_blocks(tensor.float(), BLOCKS["nf4"]))
    return digest(codes.to(torch.uint8).numpy().tobytes().hex())[:16]
