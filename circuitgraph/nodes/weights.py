"""Change of every component's weights between two models, without prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from circuitgraph.base.components import (
    EMBED,
    LOGITS,
    attn_name,
    expert_name,
    head_name,
    kv_name,
    mlp_name,
    router_name,
)
from circuitgraph.engine.model import Experts, Mlp, Norm
from circuitgraph.engine.native import NativeModel
from circuitgraph.nodes.compare import COLUMNS
from circuitgraph.updates.spectrum import effective_rank, spectrum

ROUNDING = 1e-7
"""‖ΔW‖ / ‖W‖ below this is float32 rounding: unchanged."""


def component_weights(model: NativeModel) -> dict[tuple[str, str], Tensor]:
    """All weights of each component as one matrix [d × columns], gains of norms apart.

    Heads: query and output; key/value groups: k and v; MLPs and experts: gate, up and down;
    routers. Keys are (component, category); the category is "" for matrices, ``norm`` for gains.
    """
    found = dict(_matrices(model))
    found[EMBED, ""] = model.embed.T
    found[LOGITS, ""] = model.unembed.T
    found[LOGITS, "norm"] = model.norm.weight[:, None]
    for layer, block in enumerate(model.blocks):
        for name, part in ((attn_name(layer), block.attention), (mlp_name(layer), block.mlp)):
            if isinstance(part.norm, Norm):
                found[name, "norm"] = part.norm.weight[:, None]
    return found


def _matrices(model: NativeModel) -> Iterator[tuple[tuple[str, str], Tensor]]:
    size = model.head_size
    for layer, block in enumerate(model.blocks):
        attention = block.attention
        for head in range(model.heads):
            own = slice(head * size, (head + 1) * size)
            read, write = attention.q.weight[:, own], attention.out.weight[own]
            yield (head_name(layer, head), ""), torch.cat([read, write.T], 1)
        for group in range(model.kv_heads):
            own = slice(group * size, (group + 1) * size)
            both = attention.k.weight[:, own], attention.v.weight[:, own]
            yield (kv_name(layer, group), ""), torch.cat(both, 1)
        yield from _of_mlp(layer, block.mlp)


def _of_mlp(layer: int, mlp: Mlp | Experts) -> Iterator[tuple[tuple[str, str], Tensor]]:
    if isinstance(mlp, Experts):
        yield (router_name(layer), ""), mlp.router
        for number, (gate, up, down) in enumerate(zip(mlp.gate, mlp.up, mlp.down, strict=True)):
            yield (expert_name(layer, number), ""), torch.cat([gate, up, down.T], 1)
        return
    parts = [] if mlp.gate is None else [mlp.gate.weight]
    yield (mlp_name(layer), ""), torch.cat([*parts, mlp.up.weight, mlp.down.weight.T], 1)


@torch.no_grad()
def weight_table(a: NativeModel, b: NativeModel, base: NativeModel | None = None) -> pd.DataFrame:
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
        Columns of a node diff; categories ``change``, ``rank`` and ``cosine`` (of gains
        ``norm change``). With a base, ``value_a`` and ``value_b`` are each variant's ‖ΔW‖/‖W‖ and
        rank against it. Weights have no sampling error, so there is no test: the verdict is
        ``changed`` or ``unchanged``, and ``p`` and ``q`` are empty.
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
