"""Where models are measured again, and within how much memory."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from circuitgraph.base.errors import UsageError
from circuitgraph.base.progress import human_bytes


class TooLittle(UsageError):
    """The work does not fit into the given memory or onto the given device."""


@dataclass(frozen=True)
class Resources:
    """What a measurement of stored models may use; changes speed, never results.

    Attributes
    ----------
    memory : float, optional
        Bytes the process may hold, counted in the device's own memory where there is one; None
        for what the usual batches take.
    device : str
        ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    """

    memory: float | None = None
    device: str = "cpu"

    def batch_size(self, most: int, fixed: float, each: Callable[[int], float]) -> int:
        """The largest batch that stays within the memory, halved from ``most`` prompts on.

        Parameters
        ----------
        most : int
            Prompts at once where memory is not bounded.
        fixed : float
            Bytes that are held whatever the batch, models among them.
        each : callable
            Bytes that a batch of so many prompts holds beside them.

        Raises
        ------
        TooLittle
            Not even one prompt fits; says how much would do.
        """
        size = max(1, most)
        if self.memory is None:
            return size
        while fixed + each(size) > self.memory:
            if size == 1:
                raise TooLittle(
                    f"``memory``: {human_bytes(self.memory)} are too few; this needs at least "
                    f"{human_bytes(fixed + each(1))}, of which {human_bytes(fixed)} are held "
                    "already"
                )
            size = (size + 1) // 2
        return size

    def held(self, models: float) -> float:
        """Bytes held before the work: by this process, or on the device by so many of weights."""
        return held_now() if self.device == "cpu" else models


USUAL = Resources()
"""The usual batches, on the CPU."""


def kind_of(device: str) -> str:
    """``cuda`` of ``cuda:1``: the kind of a device without its number."""
    return device.partition(":")[0]


def held_now() -> float:
    """Bytes this process holds in memory."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return float(pages * resource.getpagesize())
    except (OSError, ValueError, IndexError):
        return held_at_most()


def held_at_most() -> float:
    """The most bytes this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)
