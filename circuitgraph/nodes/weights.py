"""Change of every component's weights between two models, without prompts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from circuitgraph.base.components import parse
from circuitgraph.base.errors import InputError
from circuitgraph.engine.bridge.engine import HookedModel
from circuitgraph.engine.native import NativeModel
from circuitgraph.models.hooked import Hooked, opened_pair
from circuitgraph.nodes.compare import COLUMNS
from circuitgraph.nodes.matrices import component_weights
from circuitgraph.runs.record import Run
from circuitgraph.updates.spectrum import effective_rank, spectrum

ROUNDING = 1e-7
"""‖ΔW‖ / ‖W‖ below this is float32 rounding: unchanged."""


def change_of_weights(first: Run, second: Run) -> pd.DataFrame:
    """Load the models of two runs, and compare their weights as :func:`weight_table` does.

    Raises
    ------
    UsageError, InputError
        Tables, files that are gone or changed, matrices of other shapes or out of sight.
    """
    pair = opened_pair(first, second, "nodes weights")
    pair.require_same_shapes()
    table = weight_table(*pair.engines, pair.shared_base())
    if isinstance(pair.a, Hooked) and isinstance(pair.b, Hooked):
        _require_seen(pair.a, pair.b, table)
    return table


def _require_seen(a: Hooked, b: Hooked, table: pd.DataFrame) -> None:
    """Refuse (InputError) hooked models with a changed layer that no row shows."""
    told = {parse(name).layer for name in table.loc[table["verdict"] == "changed", "component"]}
    second = dict(b.hooked.hooked.named_parameters())
    for name, x in a.hooked.hooked.named_parameters():
        number = re.search(r"\.(\d+)\.", name)
        layer = None if number is None else int(number[1])
        moved = torch.linalg.vector_norm((second[name] - x).double())
        if layer not in told and bool(moved > ROUNDING * torch.linalg.vector_norm(x.double())):
            raise InputError(
                f"nodes weights: {name.replace('._original_component', '')} of model type "
                f"{a.hooked.family!r} changed, and belongs to no component that hooks show"
            )


@torch.no_grad()
def weight_table(
    a: NativeModel | HookedModel,
    b: NativeModel | HookedModel,
    base: NativeModel | HookedModel | None = None,
) -> pd.DataFrame:
    """‖ΔW‖/‖W‖ and effective rank of ΔW = W_B − W_A, by component.

    Parameters
    ----------
    a, b
        Models of one build.
    base
        Where both are updates of it: also the cosine between the two updates.

    Returns
    -------
    DataFrame
        Columns of a node diff; categories ``change``, ``rank`` and ``cosine``, and of gains, biases
        and learnt positions ``norm change``, ``bias change`` and ``positions change``. With a base,
        ``value_a`` and ``value_b`` are each variant's ‖ΔW‖/‖W‖ and rank against it. Weights have no
        sampling error, so there is no test: the verdict is ``changed`` or ``unchanged``, and ``p``
        and ``q`` are empty. Where W is 0, ``change`` is ‖ΔW‖ itself.
    """
    own_a, own_b = component_weights(a), component_weights(b)
    start = own_a if base is None else component_weights(base)
    rows: list[Mapping[str, object]] = []
    for key, first in own_a.items():
        rows += _rows(key, start[key], first, own_b[key], base is not None)
    table = pd.DataFrame(rows).assign(measure="weights", reason="no test: weights")
    for column in ("low", "high", "p", "q"):
        table[column] = np.nan
    for column in ("n", "n_scenarios", "n_effective"):
        table[column] = 0
    return table[list(COLUMNS)]


def _rows(
    key: tuple[str, str], start: Tensor, a: Tensor, b: Tensor, of_base: bool
) -> Iterator[Mapping[str, object]]:
    component, kind = key
    name = f"{kind} change".strip()
    size = float(torch.linalg.vector_norm(start.double())) or 1.0
    updates = [x.double() - start.double() for x in (a, b)]
    between = float(torch.linalg.vector_norm(b.double() - a.double())) / size
    verdict = "changed" if between > ROUNDING else "unchanged"
    shares = [float(torch.linalg.vector_norm(update)) / size for update in updates]
    head = {"component": component, "verdict": verdict}
    yield {**head, "category": name, "value_a": shares[0], "value_b": shares[1], "change": between}
    if kind:
        return
    ranks = [effective_rank(spectrum(m)) if bool(m.any()) else 0.0 for m in updates]
    whole = effective_rank(spectrum(b.double() - a.double())) if between > ROUNDING else 0.0
    yield {**head, "category": "rank", "value_a": ranks[0], "value_b": ranks[1], "change": whole}
    if of_base and all(bool(update.any()) for update in updates):
        cosine = float((updates[0] * updates[1]).sum() / (updates[0].norm() * updates[1].norm()))
        own = {"value_a": 1.0, "value_b": cosine, "change": cosine - 1}
        yield {**head, "category": "cosine", **own}
