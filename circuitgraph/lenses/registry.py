"""Lenses by name; a lens is imported when it is first used.

To add one: a folder that defines it and a line in ``_LENSES``; from outside the package, a
call of :func:`register`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from circuitgraph.base.errors import UsageError, quoted

if TYPE_CHECKING:
    from circuitgraph.lenses.base import Lens

_LENSES: dict[str, str | type[Lens]] = {
    "correlation": "circuitgraph.lenses.correlation.lens:Correlation",
    "effect": "circuitgraph.lenses.effect.lens:Effect",
    "wiring": "circuitgraph.lenses.wiring.lens:Wiring",
}


def register(lens: type[Lens]) -> type[Lens]:
    """Add a lens by its name, from outside the package too; works as a decorator of its class.

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
    """The class of a lens by name; ``UsageError`` where there is none."""
    found = _LENSES.get(name)
    if found is None:
        raise UsageError(f"lens: {quoted(name)} is unknown; choose {' or '.join(_LENSES)}")
    if isinstance(found, str):
        module, _, name = found.partition(":")
        found = getattr(import_module(module), name)
    return found


def lens_named(lens: str | Lens, own: Mapping[str, Any] = MappingProxyType({})) -> Lens:
    """The lens of a name, with its own options; a lens itself is returned as it is.

    Options may be those of any lens: one that this lens lacks is ignored if it is the default
    of the lens that has it, and refused otherwise.

    Raises
    ------
    UsageError
        No such lens, option or value.
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
    """Names of lenses whose edges have no direction."""
    return frozenset(name for name in _LENSES if not lens_class(name).directed)


def _require_default(name: str, value: object) -> None:
    """Refuse an option of other lenses unless it has their default."""
    owners = [lens for lens in map(lens_class, _LENSES) if name in lens_options(lens)]
    if not owners:
        raise UsageError(f"{name}: no lens has this option")
    if value != lens_options(owners[0])[name]:
        applies = f"{value} applies" if isinstance(value, str) else "applies"
        raise UsageError(f"{name}: {applies} to the {owners[0].name} lens only; leave it out")
