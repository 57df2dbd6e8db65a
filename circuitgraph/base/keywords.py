"""Keywords and lists as people write them in Python: a misspelt keyword is named, a string is one.

Options of a method are those of the function or record it hands them to; these are looked up
when a keyword is none of the method's own, so that nothing heavy is imported before.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, TypeVar, cast

from circuitgraph.base.errors import UsageError
from circuitgraph.base.textfiles import nearest

T = TypeVar("T")

_DIFF = ("comparison:Comparison.diff", "diff.compare:compare_runs")
TARGETS = {
    "ingest": ("ingest.jobs:Request",),
    "diff": _DIFF,
    "compare": _DIFF,
    "explain": _DIFF,
    "report": _DIFF,
    "blocks": ("comparison:Comparison.blocks", *_DIFF),
    "patch": ("interventions.patching.measure:Options",),
    "hubs": ("hubs.ranks:hubs", "hubs.ranks:hubs_compare", "hubs.change:hubs_of_change"),
    "faithfulness": ("interventions.circuits.faithfulness:faithfulness",),
    "plan": ("planning.plan:Question",),
}
"""Where the further options of each method of ``Workspace`` go."""
_INSIDE = {
    *("self", "a", "b", "name_a", "name_b", "nulls", "models", "options"),
    *("shelf", "reporter", "kinds", "inputs", "diff"),
}
"""Parameters of those that the workspace fills in itself."""
_FREE = ("query",)
"""Methods whose keywords are anybody's."""


def named_keywords(cls: type[T]) -> type[T]:
    """The class with methods that name a keyword they do not know, and the nearest known one."""
    for name, method in list(vars(cls).items()):
        public = name == "__init__" or not name.startswith("_")
        if inspect.isfunction(method) and public and name not in _FREE:
            setattr(cls, name, _checked(cls.__name__ if name == "__init__" else name, method))
    return cls


def _checked(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    own = [p for p in inspect.signature(method).parameters if p not in ("self", "options")]

    @functools.wraps(method)
    def with_known(*arguments: Any, **keywords: Any) -> Any:
        if any(keyword not in own for keyword in keywords):
            _require_known(name, keywords, [*own, *_further(name, own)])
        return method(*arguments, **keywords)

    return with_known


def _further(name: str, own: Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for target in TARGETS.get(name, ()):
        module, _, path = target.partition(":")
        where: Any = import_module(f"circuitgraph.{module}")
        parameters = inspect.signature(functools.reduce(getattr, path.split("."), where)).parameters
        found |= dict.fromkeys(p for p in parameters if p not in _INSIDE and p not in own)
    return list(found)


def _require_known(name: str, given: Iterable[str], known: Sequence[str]) -> None:
    for keyword in given:
        if keyword not in known:
            meant = nearest(keyword, known)
            hint = f" (did you mean {meant}?)" if meant else ""
            raise UsageError(f"{name} knows no {keyword!r}{hint}; it takes {', '.join(known)}")


def listed(value: str | Iterable[Any] | float) -> list[Any]:
    """Several values; a single one, not in a list, is one."""
    single = isinstance(value, str) or not isinstance(value, Iterable)
    return [value] if single else list(cast(Iterable[Any], value))


def pairs(value: str | Iterable[str | tuple[str, str]]) -> list[str | tuple[str, str]]:
    """Pairs of names as ``A:B`` or (A, B); a single pair, not in a list, is one."""
    if isinstance(value, tuple) and len(value) == 2:
        first, second = value
        if isinstance(first, str) and isinstance(second, str) and ":" not in first + second:
            return [(first, second)]
    return listed(value)
