"""Parse the sets of components to transplant."""

from __future__ import annotations

import re
from collections.abc import Sequence

from circuitgraph.base.components import EMBED, LOGITS, attn_name, mlp_name
from circuitgraph.base.errors import UsageError


def sets_of(
    components: Sequence[str], layers: str | tuple[int, int] | None, each: bool, depth: int
) -> list[list[str]]:
    """Sets of components to transplant together.

    Parameters
    ----------
    components
        One text per set, names with commas.
    layers
        ``"11-23"`` or (11, 23): another set of whole blocks.
    each
        Add every attention layer, MLP, embedding and unembedding alone; the default without sets.
    depth
        Number of layers.

    Raises
    ------
    UsageError
        Malformed layers.
    """
    sets = [[name.strip() for name in text.split(",") if name.strip()] for text in components]
    if layers is not None:
        first, last = _bounds(layers, depth)
        sets.append([f(k) for k in range(first, last + 1) for f in (attn_name, mlp_name)])
    if each or not sets:
        inner = [[f(k)] for k in range(depth) for f in (attn_name, mlp_name)]
        sets += [[EMBED], *inner, [LOGITS]]
    return sets


def _bounds(layers: str | tuple[int, int], depth: int) -> tuple[int, int]:
    if isinstance(layers, str):
        found = re.fullmatch(r"\s*(\d+)(?:\s*[-:]\s*(\d+))?\s*", layers, re.ASCII)
        bounds = None if found is None else (int(found[1]), int(found[2] or found[1]))
    else:
        bounds = layers
    if bounds is None or not 0 <= bounds[0] <= bounds[1] < depth:
        raise UsageError(f"``layers={layers!r}``: the layers are 0-{depth - 1}; write FIRST-LAST")
    return bounds
