"""Options made from a function's signature, and names of arguments in messages made options.

The library names its arguments as Python does, between two backticks on either side as docstrings
do: ````scope="recipe"````. On the command line they are read as ``--scope recipe``. One backtick
is other people's: names in Cypher, arguments in warnings of transformers, columns of files.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import click

_ARGUMENT = re.compile(r"``([a-z][a-z0-9]*(?:_[a-z0-9]+)*)(?:=(?:\"([^`\"]*)\"|([^`]*)))?``")


def in_flags(text: str) -> str:
    """A sentence of the library in the words of the command line.

    Examples
    --------
    >>> in_flags('leave ``shared_basis`` out, or use ``form="functional"``')
    'leave --shared-basis out, or use --form functional'
    """
    return _ARGUMENT.sub(_flag, text)


def _flag(found: re.Match[str]) -> str:
    name, quoted, value = found.groups()
    flag = "--" + name.replace("_", "-")
    given = quoted if quoted is not None else value
    return flag if given is None else f"{flag} {given}"


F = TypeVar("F", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)
SEVERAL: dict[str, Any] = {"multiple": True, "type": str}
"""Of an option that may be given again and again."""
_ENTRY = re.compile(r"(\w+(?:, \w+)*)(?: : .*)?")


def options_of(source: Callable[..., Any], *names: str, **changes: dict[str, Any]) -> Any:
    """Decorator that adds an option for each of these parameters of a function or dataclass.

    Parameters
    ----------
    source
        Its annotations give types and choices, its docstring (numpydoc) the help, up to a
        sentence that begins with "In Python".
    names
        Parameters, in the order of the help.
    changes
        By parameter: further arguments of ``click.option``, which win; ``flags`` are its names.
    """

    def add(command: F) -> F:
        for name in reversed(names):
            command = _option(source, name, dict(changes.get(name, {})))(command)
        return command

    return add


def _option(source: Callable[..., Any], name: str, changes: dict[str, Any]) -> Any:
    parameter = inspect.signature(source).parameters[name]
    flags = changes.pop("flags", ("--" + name.replace("_", "-"),))
    given: dict[str, Any] = {"help": in_flags(descriptions(source)[name].split(" In Python")[0])}
    if "type" not in changes and "is_flag" not in changes:
        given |= _typed(source, parameter.annotation)
    if parameter.default not in (None, inspect.Parameter.empty):
        shown = not any(parameter.default is plain for plain in (False, ""))
        given |= {"default": parameter.default, "show_default": shown}
    return click.option(*flags, name, **given | changes)


def _typed(source: Callable[..., Any], annotation: Any) -> dict[str, Any]:
    """The type that a value is read as; several types but None are read as text."""
    module = vars(sys.modules[inspect.unwrap(source).__module__])
    alone = types.SimpleNamespace(__annotations__={"value": annotation})  # others need not resolve
    annotation = get_type_hints(alone, module)["value"]
    union = get_origin(annotation) in (Union, types.UnionType)
    kinds = [k for k in (get_args(annotation) if union else (annotation,)) if k is not type(None)]
    if len(kinds) == 1 and get_origin(kinds[0]) is Literal:
        return {"type": click.Choice(get_args(kinds[0]))}
    if any(get_origin(kind) is os.PathLike or kind is Path for kind in kinds):
        return {"type": PATH}
    if kinds == [bool]:
        return {"is_flag": True}
    return {"type": kinds[0] if len(kinds) == 1 and kinds[0] in (int, float) else str}


@cache
def descriptions(source: Callable[..., Any]) -> dict[str, str]:
    """Descriptions by name, from ``Parameters`` and ``Attributes`` of a numpydoc docstring."""
    found: dict[str, str] = {}
    names: list[str] = []
    for section in re.split(r"\n\n(?=\w[\w ]*\n-+\n)", inspect.getdoc(source) or ""):
        heading, _, body = section.partition("\n")
        for line in body.split("\n")[1:] if heading in ("Parameters", "Attributes") else ():
            entry = _ENTRY.fullmatch(line)
            if entry is not None:
                names = entry[1].split(", ")
                found |= dict.fromkeys(names, "")
            else:
                found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found
