"""Devices of this machine, and models on them."""

from __future__ import annotations

from typing import TypeVar

import torch

from circuitgraph.base.resources import TooLittle, kind_of
from circuitgraph.engine.model import to_device

KNOWN = ("cpu", "cuda", "mps")

Record = TypeVar("Record")


def require_there(device: str) -> None:
    """Refuse a device that this machine has not.

    Raises
    ------
    TooLittle
        Names those there are.
    """
    kind = kind_of(device)
    there = {
        "cpu": device == "cpu",
        "cuda": torch.cuda.is_available() and _index(device) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(kind, False):
        found = ", ".join(name for name in KNOWN if there[name] or name == "cpu")
        raise TooLittle(f"``device={device}``: not on this machine; there is {found}")


def _index(device: str) -> int:
    number = device.partition(":")[2] or "0"
    return int(number) if number.isdecimal() else 1 << 30


def on_device(record: Record, device: str) -> Record:
    """A model or batch with its tensors on a device; itself on the CPU."""
    return record if device == "cpu" else to_device(record, device)
