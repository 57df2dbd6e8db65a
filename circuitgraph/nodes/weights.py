"""What an update does to the weights of every component; no prompts are asked."""

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
"""‖ΔW‖ / ‖W‖ of float32 weights below which nothing was changed but the last digit."""


def component_weights(model: NativeModel) -> dict[tuple[str, str], Tensor]:
    """The weights of every component as one matrix [d × columns], gains of norms apart.

    Heads: what they read through q and write; key/value groups: k and v; MLPs and experts:
    gate, up and down; routers. By (component, category); the category is "" for matrices,
    ``norm`` for gains.
    """
    found = dict(_matrices(model))
    found[EMBED, ""] = model.embed.T
    found[LOGITS, ""] = model.unembed.T
    found[LOGITS, "norm"] = model.norm.weight[:, None]
    for layer, block in enumerate(model.blocks):
        for name, norm in (
            (attn_name(layer), block.attention.norm),
            (mlp_name(layer), block.mlp.norm),
        ):
            if isinstance(norm, Norm):
                found[name, "norm"] = norm.weight[:, None]
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
    """‖ΔW‖/‖W‖ and effective rank of what parts B's weights from A's, by component.

    Parameters
    ----------
    a, b
        Models of one build.
    base
        Where both are updates of it: also the cosine between the two updates' matrices.

    Returns
    -------
    DataFrame
        Columns of a node diff; categories ``change``, ``rank`` and ``cosine`` (of gains
        ``norm change``). ``value_a`` and ``value_b`` are the two variants' own ‖ΔW‖/‖W‖ and
        ranks against the base where there is one. No test is made: weights are what they are,
        so the verdict is ``changed`` or ``unchanged``, and ``p`` and ``q`` are empty.
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
    moves = [x.double() - start.double() for x in (a, b)]
    between = float(torch.linalg.vector_norm(b.double() - a.double())) / size
    verdict = "changed" if between > ROUNDING else "unchanged"
    shares = [float(torch.linalg.vector_norm(move)) / size for move in moves]
    head = {"component": component, "verdict": verdict}
    yield {**head, "category": name, "value_a": shares[0], "value_b": shares[1], "change": between}
    if kind:
        return
    ranks = [effective_rank(spectrum(m)) if bool(m.any()) else 0.0 for m in moves]
    whole = effective_rank(spectrum(b.double() - a.double())) if between > ROUNDING else 0.0
    yield {**head, "category": "rank", "value_a": ranks[0], "value_b": ranks[1], "change": whole}
    if of_base and all(bool(move.any()) for move in moves):
        cosine = float((moves[0] * moves[1]).sum() / (moves[0].norm() * moves[1].norm()))
        yield {
            **head,
            "category": "cosine",
            "value_a": 1.0,
            "value_b": cosine,
            "change": cosine - 1,
        }
