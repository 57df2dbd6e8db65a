"""A run with vectors added to contributions of components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.base.components import Component, parse
from circuitgraph.base.errors import UsageError
from circuitgraph.base.quoting import quoted
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.decision import decide
from circuitgraph.engine.forward import Span, Write, embed, post, run_block
from circuitgraph.engine.model import Block, for_rows
from circuitgraph.engine.native import NativeModel


@dataclass(frozen=True)
class Steered:
    """Results of a steered run.

    Attributes
    ----------
    decisions : [n]
        Decisions.
    streams : [layers, n, d]
        Residual stream after every layer, at each prompt's last token.
    """

    decisions: Tensor
    streams: Tensor


def sites(names: list[str], model: NativeModel) -> list[Component]:
    """Components that can be steered: heads, attention layers and MLPs of these models.

    Raises
    ------
    UsageError
        Another name.
    """
    found = [parse(name) for name in names]
    for part in found:
        fits = part.kind in ("head", "attn", "mlp") and (part.layer or 0) < model.layers
        if not fits or (part.head or 0) >= model.heads:
            raise UsageError(
                f"``at``: {quoted(part.name, 40)} is no component of these models that writes; "
                "name L5H3, L5_ATTN or L5_MLP"
            )
    return found


@torch.no_grad()
def steered(
    model: NativeModel, batch: Batch, added: Mapping[str, Tensor], last_only: bool
) -> Steered:
    """Run clean prompts with vectors added to components' contributions.

    Parameters
    ----------
    model, batch
        The batch is made with ``whole=True``.
    added
        Vectors by component [d].
    last_only
        Only at the last prompt token, else at all positions of the prompt.
    """
    ready = for_rows(model, batch.ends)
    steps = torch.arange(batch.clean.shape[1])
    inside = steps < batch.prompt_end[:, None]
    if last_only:
        inside = steps == batch.prompt_end[:, None] - 1
    where, span = inside[..., None].to(model.dtype), Span.whole(batch.clean)
    ends = (batch.prompt_end - 1)[:, None]
    x, streams = embed(ready, batch.clean), []
    for layer, block in enumerate(ready.blocks):
        attention, mlp = _at(added, layer, model)
        write = _writer(block, x, attention * where)
        trace = run_block(ready, block, x, span, write=write)
        x = trace.mid + trace.mlp + mlp * where
        streams.append(gather(x, ends)[:, 0])
    first = [int((batch.owner == i).nonzero()[0]) for i in range(batch.n)]
    decisions = decide(ready, gather(x, batch.read), batch)
    return Steered(decisions, torch.stack(streams)[:, first])


def _writer(block: Block, x: Tensor, extra: Tensor) -> Write:
    """Hook that adds a vector to the residual stream after attention [R, T, d]."""

    def write(z: Tensor, raw: Tensor) -> Tensor:
        return x + post(raw, block.attention.post) + extra

    return write


def _at(added: Mapping[str, Tensor], layer: int, model: NativeModel) -> tuple[Tensor, Tensor]:
    """Vectors added after attention and after the MLP of one block [d]."""
    none = torch.zeros(model.width, dtype=model.dtype)
    both = [none, none]
    for name, vector in added.items():
        part = parse(name)
        if part.layer == layer:
            both[part.kind == "mlp"] = both[part.kind == "mlp"] + vector
    return both[0], both[1]
