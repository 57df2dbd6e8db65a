"""The base model that adapters are trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from circuitgraph.base.errors import UsageError
from circuitgraph.base.progress import Reporter
from circuitgraph.models.variants import load_base


def frozen_base(folder: Path, device: str, reporter: Reporter) -> Any:
    """The transformers model of a folder, frozen, on a device; remarks on it are warnings.

    Raises
    ------
    InputError, UsageError
        A model that cannot be loaded, a device that cannot be used.
    """
    hf, warnings = load_base(folder)
    for line in warnings:
        reporter.warn(line)
    hf.requires_grad_(False)
    try:
        return hf.to(device)
    except (RuntimeError, AssertionError) as error:
        why = " ".join(str(error).split())[:120]
        raise UsageError(f"``device={device}``: cannot be used ({why})") from error
