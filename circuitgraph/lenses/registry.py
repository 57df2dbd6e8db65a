"""Lenses by name. To add one: a file or folder that defines it, and a line in ``_LENSES`` below;
from outside the package, a call of :func:`register`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from circuitgraph.base.errors import UsageError
from circuitgraph.base.quoting import quoted
from circuitgraph.lenses.base import Lens
from circuitgraph.lenses.correlation.lens import Correlation
from circuitgraph.lenses.effect.lens import Effect
from circuitgraph.lenses.wiring.lens import Wiring

_LENSES: dict[str, type[Lens]] = {
    "correlation": Correlation,
    "effect": Effect,
    "wiring": Wiring,
}


def register(lens: type[Lens]) -> type[Lens]:
    """Make a lens known by its name, from outside the package too; may decorate its class.

    Raises
    ------
    UsageError
        Another lens has this name.
    """
    if _LENSES.setdefault(lens.name, lens) is not lens:
        raise UsageError(f"lens: there is a lens named {quoted(lens.name)} already; choose another")
    return lens


def lens_names() -> tuple[str, ...]:
    """Names of all lenses, in order of registration."""
    return tuple(_LENSES)


def lens_named(lens: str | Lens, **own: Any) -> Lens:
    """The lens of a name, with its own options; a lens itself is returned as it is.

    Options may be those of any lens: what the lens does not have is left out where it is the
    default of the lens that has it, and refused otherwise.

    Raises
    ------
    UsageError
        No such lens; an option, or a value, that it does not have.
    """
    known = _LENSES.get(lens) if isinstance(lens, str) else type(lens)
    if known is None:
        raise UsageError(f"lens: {quoted(lens)} is unknown; choose {' or '.join(_LENSES)}")
    mine = set(lens_options(known))
    for name in own.keys() - mine:
        _require_default(name, own[name])
    chosen = {name: value for name, value in own.items() if name in mine}
    if not isinstance(lens, str):
        if chosen:
            raise UsageError(f"{min(chosen)}: the lens is {lens!r} already; give it there")
        return lens
    return known(**chosen)


def lens_options(lens: str | type[Lens]) -> Mapping[str, Any]:
    """Names of a lens' own options and their defaults."""
    known = _LENSES[lens] if isinstance(lens, str) else lens
    return {field.name: field.default for field in fields(known)}  # type: ignore[arg-type]


def _require_default(name: str, value: object) -> None:
    """Refuse an option of other lenses, unless it is what they take anyway."""
    owners = [lens for lens in _LENSES.values() if name in lens_options(lens)]
    if not owners:
        raise UsageError(f"{name}: no lens has this option")
    if value != lens_options(owners[0])[name]:
        told = f"{value} applies" if isinstance(value, str) else "applies"
        raise UsageError(f"{name}: {told} to the {owners[0].name} lens only; leave it out")
