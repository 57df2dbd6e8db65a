"""Check keywords, and read single values as lists."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from circuitgraph.base.errors import UsageError
from circuitgraph.base.textfiles import nearest

T = TypeVar("T")

_FREE = ("query",)
"""Methods whose keywords are anybody's."""


def named_keywords(cls: type[T]) -> type[T]:
    """Class decorator: methods name an unknown keyword and the nearest known one."""
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        public = name == "__init__" or not name.startswith("_")
        if public and name not in _FREE:
            setattr(cls, name, _checked(cls.__name__ if name == "__init__" else name, method))
    return cls


def _checked(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    known = [p for p in inspect.signature(method).parameters if p != "self"]

    @functools.wraps(method)
    def with_known(*arguments: Any, **keywords: Any) -> Any:
        _require_known(name, keywords, known)
        return method(*arguments, **keywords)

    return with_known


def _require_known(name: str, given: Iterable[str], known: Sequence[str]) -> None:
    for keyword in given:
        if keyword not in known:
            meant = nearest(keyword, known)
            hint = f" (did you mean {meant}?)" if meant else ""
            raise UsageError(f"{name} knows no {keyword!r}{hint}; it takes {', '.join(known)}")


def listed(value: str | Iterable[Any] | float) -> list[Any]:
    """Values as a list; a single value is a list of one."""
    single = isinstance(value, str) or not isinstance(value, Iterable)
    return [value] if single else list(cast(Iterable[Any], value))


def pairs(value: str | Iterable[str | tuple[str, str]]) -> list[str | tuple[str, str]]:
    """Pairs of names, ``A:B`` or (A, B), as a list; a single pair is a list of one."""
    if isinstance(value, tuple) and len(value) == 2:
        first, second = value
        if isinstance(first, str) and isinstance(second, str) and ":" not in first + second:
            return [(first, second)]
    return listed(value)
