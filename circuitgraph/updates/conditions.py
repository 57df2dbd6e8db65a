"""Conditions of ``fail_on`` of a check."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from circuitgraph.base.errors import ConditionMet, UsageError, quoted
from circuitgraph.updates.record import NEARLY, Check
from circuitgraph.updates.rounding import FORMATS

_FINDINGS: dict[str, Callable[[Check], bool]] = {
    "erased": lambda check: check.verdict.word in ("nearly erased", "erased", "identical"),
    "changed": lambda check: check.verdict.changed > 0,
    "unmoved": lambda check: check.moves is not None and not check.moves.moved,
}
CONDITIONS = (*_FINDINGS, *(f"lost-in-{name}" for name in FORMATS))
"""``erased``: nothing or nearly nothing is left. ``changed``: any weight differs. ``unmoved``:
decisions move no further than under some random update. ``lost-in-FORMAT``: merged in that format
less than a fifth of an adapter would be left."""


def require_conditions(names: Sequence[str], *, prompts: bool, adapter: bool) -> None:
    """Refuse unknown conditions, and those that were not measured.

    Raises
    ------
    UsageError
        Before anything is loaded.
    """
    for name in names:
        if name not in CONDITIONS:
            known = ", ".join(CONDITIONS)
            raise UsageError(f"``fail_on``: {quoted(name)} is unknown; choose from {known}")
        if name == "unmoved" and not prompts:
            raise UsageError("``fail_on=unmoved``: decisions need ``prompts``; give them")
        if name.startswith("lost-in-") and not adapter:
            raise UsageError(
                f"``fail_on={name}``: is asked of an adapter, and this is a whole model; give the "
                "adapter in its place"
            )


def met(check: Check, names: Sequence[str]) -> list[str]:
    """Conditions that a check meets; none for another base."""
    if check.verdict.word == "wrong base":
        return []
    return [name for name in names if _holds(check, name)]


def _holds(check: Check, name: str) -> bool:
    if name in _FINDINGS:
        return _FINDINGS[name](check)
    return not check.left.get(name.removeprefix("lost-in-"), 0.0) >= NEARLY


def require_none(found: Sequence[str]) -> None:
    """Fail where a condition is met.

    Raises
    ------
    ConditionMet
        Names them.
    """
    if found:
        raise ConditionMet(f"``fail_on``: {', '.join(found)}")
