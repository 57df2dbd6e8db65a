"""Special functions of scipy, imported when the first is used.

``scipy.special`` takes a quarter of a second to import, and what only reads needs none of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(import_module("scipy.special"), name)
