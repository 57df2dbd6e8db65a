"""The memory and the device that a user named."""

from __future__ import annotations

from circuitgraph.base.resources import Resources


def within(memory: float | None, device: str) -> Resources:
    """The memory and device of a measurement; a device other than the CPU is looked for at once.

    Raises
    ------
    TooLittle
        The device is not there.
    """
    if device != "cpu":
        from circuitgraph.models.devices import require_there

        require_there(device)
    return Resources(memory, device)
