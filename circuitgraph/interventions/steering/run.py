"""Components and strengths in words; a run with vectors added to contributions of components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from circuitgraph.base.components import Component, parse
from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.bridge.engine import HookedModel
from circuitgraph.engine.bridge.patch import add_attention, add_to_stream
from circuitgraph.engine.bridge.wrapped import Hook, decide_logits, hook_name, logits_of
from circuitgraph.engine.decision import decide
from circuitgraph.engine.forward import Span, Write, embed, post, run_block
from circuitgraph.engine.model import Block, for_rows
from circuitgraph.engine.native import NativeModel

MAX_STRENGTHS = 101


def names_in(at: str | Sequence[str]) -> list[str]:
    """Names of components from a text with commas or a list."""
    parts = at.split(",") if isinstance(at, str) else list(at)
    return list(dict.fromkeys(name.strip() for name in parts if name.strip()))


def strengths_in(given: str | float | Sequence[float]) -> list[float]:
    """Strengths from ``FROM:TO:N``, a number, or several.

    Raises
    ------
    UsageError
        A text that is neither, or too many.
    """
    if isinstance(given, int | float):
        return [float(given)]
    if not isinstance(given, str):
        return [float(x) for x in given]
    try:
        parts = [part.strip() for part in given.split(":")]
        if len(parts) == 1:
            return [float(parts[0])]
        low, high, count = float(parts[0]), float(parts[1]), int(parts[2])
        if not 2 <= count <= MAX_STRENGTHS or len(parts) != 3:
            raise ValueError
    except (ValueError, IndexError) as error:
        raise UsageError(
            f"``strength={given!r}``: write FROM:TO:N, such as -2:2:9, or one number"
        ) from error
    return [float(x) for x in np.linspace(low, high, count)]


def sites(names: list[str], model: NativeModel | HookedModel) -> list[Component]:
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
    model: NativeModel | HookedModel, batch: Batch, added: Mapping[str, Tensor], last_only: bool
) -> tuple[Tensor, Tensor]:
    """Run clean prompts with vectors added to components' contributions.

    Parameters
    ----------
    model, batch
        The batch is made with ``whole=True``.
    added
        Vectors by component [d].
    last_only
        Only at the last prompt token, else at all positions of the prompt.

    Returns
    -------
    decisions, streams : [n] and [layers, n, d]
        Decisions, and the residual stream after every layer at each prompt's last token.
    """
    steps = torch.arange(batch.clean.shape[1])
    inside = steps < batch.prompt_end[:, None]
    if last_only:
        inside = steps == batch.prompt_end[:, None] - 1
    where = inside[..., None].to(model.dtype)
    if isinstance(model, HookedModel):
        decisions, streams = _by_hooks(model, batch, added, where)
    else:
        decisions, streams = _native(model, batch, added, where)
    first = [int((batch.owner == i).nonzero()[0]) for i in range(batch.n)]
    return decisions, torch.stack(streams)[:, first]


def _native(
    model: NativeModel, batch: Batch, added: Mapping[str, Tensor], where: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Decisions [n], and streams [R, d] at the last prompt token after every layer."""
    ready, span = for_rows(model, batch.ends), Span.whole(batch.clean)
    x, streams = embed(ready, batch.clean), []
    for layer, block in enumerate(ready.blocks):
        attention, mlp = _at(added, layer, model)
        write = _writer(block, x, attention * where)
        trace = run_block(ready, block, x, span, write=write)
        x = trace.mid + trace.mlp + mlp * where
        streams.append(_at_end(x, batch))
    return decide(ready, gather(x, batch.read), batch), streams


def _by_hooks(
    model: HookedModel, batch: Batch, added: Mapping[str, Tensor], where: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """As :func:`_native`."""
    hooks: list[Hook] = []
    streams: list[Tensor] = []
    for layer in range(model.layers):
        attention, mlp = _at(added, layer, model)
        if bool(attention.any()):
            hooks += add_attention(model, layer, attention * where)
        hooks += add_to_stream(layer, "post", mlp * where)
        hooks.append((hook_name(layer, "post"), lambda x, hook: streams.append(_at_end(x, batch))))
    with model.rows(batch.ends):
        logits = logits_of(model.hooked, batch.clean, hooks)
    return decide_logits(logits, batch)[0], streams


def _at_end(x: Tensor, batch: Batch) -> Tensor:
    return gather(x, (batch.prompt_end - 1)[:, None])[:, 0]


def _writer(block: Block, x: Tensor, extra: Tensor) -> Write:
    """Hook that adds a vector to the residual stream after attention [R, T, d]."""

    def write(z: Tensor, raw: Tensor) -> Tensor:
        return x + post(raw, block.attention.post) + extra

    return write


def _at(
    added: Mapping[str, Tensor], layer: int, model: NativeModel | HookedModel
) -> tuple[Tensor, Tensor]:
    """Vectors added after attention and after the MLP of one block [d]."""
    none = torch.zeros(model.width, dtype=model.dtype)
    both = [none, none]
    for name, vector in added.items():
        part = parse(name)
        if part.layer == layer:
            both[part.kind == "mlp"] = both[part.kind == "mlp"] + vector
    return both[0], both[1]
