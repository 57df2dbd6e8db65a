"""Defaults that are looked up by other queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Phrase:
    """One column of the first row of a named query.

    Attributes
    ----------
    query, column : str
        Which query, and which of its columns.
    arguments : mapping
        Fixed parameters of that query.
    """

    query: str
    column: str
    arguments: Mapping[str, str]


PHRASES: Mapping[str, Phrase] = MappingProxyType(
    {
        "newest run": Phrase("runs", "id", {}),
        "newest correlation run": Phrase("runs", "id", {"kind": "correlation"}),
        "newest effect run": Phrase("runs", "id", {"kind": "effect"}),
        "newest diff": Phrase("diffs", "id", {"of": "edges"}),
        "newest attribution diff": Phrase("diffs", "id", {"lens": "attribution"}),
        "newest attention diff": Phrase("diffs", "id", {"lens": "attention"}),
        "newest logit lens diff": Phrase("diffs", "id", {"lens": "logit-lens"}),
        "newest correlation diff": Phrase("diffs", "id", {"lens": "correlation"}),
        "newest effect diff": Phrase("diffs", "id", {"lens": "effect"}),
        "first run compared": Phrase("compared-runs", "run", {"side": "a"}),
        "second run compared": Phrase("compared-runs", "run", {"side": "b"}),
        "strongest component": Phrase("hubs", "component", {}),
        "strongest source": Phrase("strongest-edges", "source", {}),
        "strongest target": Phrase("strongest-edges", "target", {}),
        "strongest claimed source": Phrase("rewired", "source", {}),
        "strongest claimed target": Phrase("rewired", "target", {}),
        "first recipe": Phrase("recipes", "recipe", {}),
        "another recipe": Phrase("recipes", "recipe", {}),
    }
)
