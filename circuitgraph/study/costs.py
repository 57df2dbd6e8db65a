"""What every step of the study took, kept beside its results."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from circuitgraph.base.atomic import write_atomic

NOTHING = 5.0
"""CPU seconds below which a step only found what was there."""


def costs_of(out: Path) -> dict[str, float]:
    """CPU seconds by step, as kept."""
    file = out / "costs.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


@contextmanager
def timed(out: Path, step: str) -> Iterator[None]:
    """Add the CPU seconds of a block to those of its step, where it did any work."""
    began = time.process_time()
    yield
    spent = time.process_time() - began
    known = costs_of(out)
    if spent >= NOTHING:
        known[step] = known.get(step, 0.0) + spent
        write_atomic(out / "costs.json", json.dumps(known, indent=1).encode("utf-8"))
