"""Validation of records read from disk."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from circuitgraph.base.errors import quoted

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")
T = TypeVar("T", bound=tuple)

_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "str | None": (str, type(None)),
    "int | None": (int, type(None)),
    "tuple[str, ...]": (tuple,),
    "Mapping[str, str]": (dict,),
    "Mapping[str, Any]": (dict,),
}
_ARRAYS = {
    "correlation": ("activity",),
    "effect": ("effects", "totals", "decisions"),
    "circuit": ("effects",),
}
_SAMPLE = "exact_sample"
METHODS = {
    "kind": ("correlation", "effect"),
    "estimator": ("", "auto", "exact", "receiver-exact", "eap", "eap-ig", "imported"),
    "inputs": ("", "joint", "split"),
    "granularity": ("head", "layer", "table"),
    "activity": ("", "norm", "projection", "table"),
    "ablation": ("", "corrupt", "mean", "zero"),
    "dtype": ("float32", "bfloat16", "tf32"),
}
"""What the keys of a method may be; another value is no run of ours."""


def typed(record: R) -> R:
    """Check that a record's fields have their declared types.

    Raises
    ------
    TypeError
        Names the field and what it holds.
    """
    for name, wanted, of_texts in _declared(type(record)):
        value = getattr(record, name)
        if not isinstance(value, wanted) or (isinstance(value, bool) and int in wanted):
            raise TypeError(f"{name} is {quoted(value)}")
        if of_texts:
            texts(getattr(record, name))
        elif isinstance(value, str):
            value.encode("utf-8")
    return record


@cache
def _declared(record: type[Any]) -> list[tuple[str, tuple[type, ...], bool]]:
    """Name, types and "holds texts" of every field of a dataclass."""
    return [
        (one.name, _TYPES.get(str(one.type), (object,)), one.type == "tuple[str, ...]")
        for one in fields(record)
    ]


def texts(values: T) -> T:
    """Check that all values are valid texts.

    Raises
    ------
    TypeError, ValueError
        One is not.
    """
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{quoted(value)} stands where a name belongs")
        value.encode("utf-8")
    return values


def known(method: R) -> R:
    """Check that all keys of a method are known.

    Raises
    ------
    ValueError
        Names the key and its value.
    """
    for name, values in METHODS.items():
        if getattr(method, name) not in values:
            raise ValueError(f"{name} is {quoted(getattr(method, name))}")
    return method


def shaped(
    arrays: dict[str, np.ndarray], kind: str, rows: int, columns: int
) -> dict[str, np.ndarray]:
    """Check the shapes of a run's arrays: prompts × components or edges.

    Raises
    ------
    ValueError
        Names the array.
    """
    main, *more = _ARRAYS[kind]
    for name in sorted({main, *more, *arrays}):
        value: Any = arrays.get(name)
        wanted = _shape(name, value, rows, columns) if name in (main, _SAMPLE) else (rows,)
        if value is None or value.shape != wanted or value.dtype != np.float32:
            raise ValueError(f"{name} is not float32 {list(wanted)}")
    return arrays


def _shape(name: str, value: Any, rows: int, columns: int) -> tuple[int, int]:
    """Expected shape of an array."""
    sampled = name == _SAMPLE and np.ndim(value) == 2 and value.shape[1] <= columns
    return rows, int(value.shape[1]) if sampled else columns


def save_arrays(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Write arrays; a partial file is removed.

    Raises
    ------
    OSError
        With the file's name, as where the disk is full.
    """
    try:
        save_file({name: np.ascontiguousarray(v) for name, v in arrays.items()}, path)
    except SafetensorError as error:
        path.unlink(missing_ok=True)
        why = "no space left, or files may not grow" if "os error" in str(error) else str(error)
        raise OSError(errno.ENOSPC, why, str(path)) from error
