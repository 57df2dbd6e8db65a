"""Which parts are trained alone: what changed most, and random choices of the same size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

import pandas as pd

from circuitgraph.base.components import attn_name, mlp_name, parse
from circuitgraph.diff.record import Diff
from circuitgraph.study.design import Design, Part


def strength_of_change(diff: Diff) -> pd.Series:
    """Sum of |delta| over the claimed edges at each component's either end.

    Of all edges where none is claimed. Embedding and unembedding are left out.
    """
    rows = diff.claims if len(diff.claims) else diff.table
    ends = [rows.set_index(end)["delta"].abs() for end in ("source", "target")]
    both = pd.concat([each.rename(index=str) for each in ends])
    found = both.groupby(level=0).sum()
    return found[[parse(name).layer is not None for name in found.index]]


def layers_of(components: Iterable[str]) -> list[int]:
    """Layers of components, each once, in their order."""
    found = (parse(name).layer for name in components)
    return list(dict.fromkeys(layer for layer in found if layer is not None))


def by_layer(strength: pd.Series, layers: Sequence[int]) -> pd.Series:
    """The same summed over the components of each layer; layers without any have 0."""
    owner = [parse(name).layer for name in strength.index]
    return strength.groupby(owner).sum().reindex(list(layers), fill_value=0.0)


def chosen(diff: Diff, layers: Sequence[int], design: Design) -> list[Part]:
    """The component and the band that changed most, and random ones beside each.

    Parameters
    ----------
    diff
        The base against the recipe that is trained in parts, attention layers and MLPs.
    layers
        Layers that whole variants are trained in; parts are chosen among them.
    design
        Width of the band, number of draws.

    Returns
    -------
    list of Part
        A random component is of the same kind; a random band is as many layers anywhere.
    """
    strength = strength_of_change(diff)
    own = strength[[parse(name).layer in set(layers) for name in strength.index]]
    best = str(own.idxmax())
    band = _band(by_layer(own, layers), min(design.width, len(layers)))
    random = Random(f"study {design.draws}")
    same = [mlp_name(i) if best.endswith("MLP") else attn_name(i) for i in layers]
    others = random.sample([name for name in same if name != best], design.draws)
    seeds = design.part_seeds
    parts = [Part("component", (best,), seeds), Part("band", _of(band), seeds)]
    for number, name in enumerate(others, start=1):
        parts.append(Part(f"random component {number}", (name,)))
    for number in range(1, design.draws + 1):
        parts.append(Part(f"random band {number}", _of(_another(random, layers, band))))
    return parts


def _band(strength: pd.Series, width: int) -> list[int]:
    """The consecutive layers that hold most of the change."""
    sums = strength.rolling(width).sum().dropna()
    last = int(sums.to_numpy().argmax()) + width
    return [int(layer) for layer in strength.index[last - width : last]]


def _another(random: Random, layers: Sequence[int], band: Sequence[int]) -> list[int]:
    """As many layers drawn at random; never the band itself."""
    while True:
        drawn = sorted(random.sample(list(layers), len(band)))
        if drawn != list(band):
            return drawn


def _of(layers: Sequence[int]) -> tuple[str, ...]:
    return tuple(name for layer in layers for name in (attn_name(layer), mlp_name(layer)))
