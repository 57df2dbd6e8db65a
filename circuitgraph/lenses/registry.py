"""Lenses by name. To add one: a folder that defines it, and a line in ``_LENSES`` below; from
outside the package, a call of :func:`register`.

A lens is imported when it is first asked for: its name alone costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

from circuitgraph.base.errors import UsageError
from circuitgraph.base.quoting import quoted

if TYPE_CHECKING:
    from circuitgraph.lenses.base import Lens

_LENSES: dict[str, str | type[Lens]] = {
    "correlation": "circuitgraph.lenses.correlation.lens:Correlation",
    "effect": "circuitgraph.lenses.effect.lens:Effect",
    "wiring": "circuitgraph.lenses.wiring.lens:Wiring",
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


def lens_class(name: str) -> type[Lens]:
    """The lens of a name, without options.

    Raises
    ------
    UsageError
        No such lens.
    """
    found = _LENSES.get(name)
    if found is None:
        raise UsageError(f"lens: {quoted(name)} is unknown; choose {' or '.join(_LENSES)}")
    if isinstance(found, str):
        module, _, name = found.partition(":")
        found = getattr(import_module(module), name)
    return found


def lens_named(lens: str | Lens, **own: Any) -> Lens:
    """The lens of a name, with its own options; a lens itself is returned as it is.

    Options may be those of any lens: what the lens does not have is left out where it is the
    default of the lens that has it, and refused otherwise.

    Raises
    ------
    UsageError
        No such lens; an option, or a value, that it does not have.
    """
    known = lens_class(lens) if isinstance(lens, str) else type(lens)
    mine = lens_options(known)
    for name in sorted(own.keys() - mine.keys()):
        _require_default(name, own[name])
    if isinstance(lens, str):
        return known(**{name: value for name, value in own.items() if name in mine})
    for name in sorted(own.keys() & mine.keys()):
        if own[name] not in (mine[name], getattr(lens, name)):
            raise UsageError(f"{name}: the lens is given with its options; give it there")
    return lens


def lens_options(lens: type[Lens]) -> Mapping[str, Any]:
    """Names of a lens' own options and their defaults."""
    return {field.name: field.default for field in fields(lens)}  # type: ignore[arg-type]


def undirected_lenses() -> frozenset[str]:
    """Names of lenses for which an edge is the same both ways."""
    return frozenset(name for name in _LENSES if not lens_class(name).directed)


def _require_default(name: str, value: object) -> None:
    """Refuse an option of other lenses, unless it is what they take anyway."""
    owners = [lens for lens in map(lens_class, _LENSES) if name in lens_options(lens)]
    if not owners:
        raise UsageError(f"{name}: no lens has this option")
    if value != lens_options(owners[0])[name]:
        told = f"{value} applies" if isinstance(value, str) else "applies"
        raise UsageError(f"{name}: {told} to the {owners[0].name} lens only; leave it out")
