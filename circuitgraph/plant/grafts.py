"""Widened models: a private channel of the residual stream per component."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from circuitgraph.base.components import EMBED, digest, head_name, mlp_name
from circuitgraph.base.errors import UsageError
from circuitgraph.engine.batches import right_padded
from circuitgraph.engine.forward import Trace, forward
from circuitgraph.engine.model import Model
from circuitgraph.plant.folders import Source, require_free, write
from circuitgraph.plant.folders import read as read_model
from circuitgraph.plant.layout import (
    Layout,
    Reader,
    outputs,
    readers_of,
    senders_of,
    senders_to,
    views,
)
from circuitgraph.plant.widening import centred, own_head_size, widened
from circuitgraph.prompts import PromptSet, read_prompts
from circuitgraph.prompts.tokens import encode

TEXTS = 16
LENGTH = 32


@dataclass(frozen=True)
class Sample:
    """Right-padded token ids [R, T] and the length of every row [R]."""

    tokens: Tensor
    lengths: Tensor

    @property
    def real(self) -> Tensor:
        """Positions without padding, bool [R, T]."""
        return torch.arange(self.tokens.shape[1]) < self.lengths[:, None]


def _sample(
    source: Source, prompts: PromptSet | str | os.PathLike[str] | None, random: torch.Generator
) -> Sample:
    """Some prompts, evenly spaced in a set; random tokens without one."""
    if prompts is None:
        length = min(LENGTH, source.model.max_positions or LENGTH)
        tokens = torch.randint(len(source.model.embed), (TEXTS, length), generator=random)
        return Sample(tokens, torch.full((TEXTS,), length))
    every = encode(
        read_prompts(prompts),
        source.tokenizer,
        max_positions=source.model.max_positions,
        rows=len(source.model.embed),
    ).prompts
    chosen = [every[i * len(every) // TEXTS].whole for i in range(min(TEXTS, len(every)))]
    tokens, last = right_padded(chosen)
    return Sample(tokens, last + 1)


@dataclass(frozen=True)
class Recipe:
    """Options of widening a model.

    Attributes
    ----------
    seed
        Of everything drawn.
    size
        Dimensions of a channel.
    density
        Share of (sender, reader) pairs that are wired.
    rho
        Rms of a channel, in rms of the stream it is written to.
    read
        Spread of the reading weights, in that of the reader's other weights.
    """

    seed: int = 0
    size: int = 4
    density: float = 0.5
    rho: float = 0.5
    read: float = 0.7

    def __post_init__(self) -> None:
        if self.size < 2 or not 0 <= self.density <= 1 or min(self.rho, self.read) <= 0:
            raise UsageError(
                f"graft: size {self.size}, density {self.density}, rho {self.rho}, read "
                f"{self.read}: size is 2 or more, density 0 to 1, rho and read above 0"
            )

    def random(self, *what: object) -> torch.Generator:
        """A separate random generator for each draw."""
        return torch.Generator().manual_seed(int(digest("graft", self.seed, *what)[:15], 16))


@dataclass(frozen=True)
class Grafted:
    """A widened model, in memory.

    Attributes
    ----------
    source
        What it was made from.
    model
        Its weights, float64.
    layout
        Where its channels lie.
    recipe
        How it was made.
    texts
        What scales were measured on.
    """

    source: Source
    model: Model
    layout: Layout
    recipe: Recipe
    texts: Sample


def graft(
    model: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    prompts: PromptSet | str | os.PathLike[str] | None = None,
    size: int = 4,
    density: float = 0.5,
    rho: float = 0.5,
    read: float = 0.7,
) -> Path:
    """Write a model widened by private channels, close to the model it was made from.

    Parameters
    ----------
    model
        A Hugging Face folder.
    out
        A new folder.
    seed
        Of all that is drawn.
    prompts
        Where scales are measured; random tokens where None.
    size, density, rho, read
        Of the channels; see ``Recipe``.

    Raises
    ------
    InputError, UsageError
        Before any work.
    """
    recipe = Recipe(seed, size, density, rho, read)
    require_free(Path(out))
    grafted = grafted_model(read_model(model), recipe, prompts)
    return write(grafted.source, grafted.model, Path(out))


@torch.no_grad()
def grafted_model(
    source: Source, recipe: Recipe, prompts: PromptSet | str | os.PathLike[str] | None = None
) -> Grafted:
    """The widened model in memory."""
    texts = _sample(source, prompts, recipe.random("texts"))
    base = centred(source.model)
    senders = senders_of(base)
    layout = Layout(base.width, recipe.size, senders)
    width = base.width + recipe.size * len(senders)
    width += -width % base.heads
    trace = forward(base, texts.tokens)
    outputs = _channel_outputs(base, recipe, texts, trace, senders)
    wide = widened(base, width, _growth(base, texts, trace, outputs, width, recipe))
    for sender in senders:
        _write(base, wide, layout, recipe, sender, outputs[sender].scale)
    wide = own_head_size(wide)
    for reader in readers_of(wide):
        for sender in senders_to(wide, reader):
            if torch.rand((), generator=recipe.random("wired", sender, *reader)) < recipe.density:
                wire(wide, layout, recipe, reader, sender)
    return Grafted(source, wide, layout, recipe, texts)


def wire(model: Model, layout: Layout, recipe: Recipe, reader: Reader, sender: str) -> None:
    """Let a receiver read a sender's channel (in place)."""
    random = recipe.random("read", sender, *reader)
    own, new = (views(model, reader, rows) for rows in (slice(0, layout.width), layout.of(sender)))
    for weight, view in zip(own, new, strict=True):
        # Padded dimensions of a head stay empty; the unembedding has no such.
        filled = weight.any() if reader.kind == "logits" else weight.any(0)
        drawn = torch.randn(view.shape, generator=random, dtype=view.dtype)
        view.copy_(recipe.read * weight[:, filled].std() * drawn * filled)


@dataclass(frozen=True)
class _Output:
    """A sender's squared output in its channel [R, T], and its scale."""

    energy: Tensor
    scale: float


def _projection(model: Model, recipe: Recipe, sender: str) -> Tensor:
    """From a sender's output to its channel [width, size]; sums to zero under a LayerNorm."""
    drawn = torch.randn(
        model.width, recipe.size, generator=recipe.random("write", sender), dtype=model.dtype
    )
    return drawn - drawn.mean(1, keepdim=True) if model.norm.centre else drawn


def _channel_outputs(
    model: Model, recipe: Recipe, texts: Sample, trace: Trace, senders: tuple[str, ...]
) -> dict[str, _Output]:
    found = {}
    for sender, (values, stream) in zip(senders, _written_values(model, trace), strict=True):
        into = values @ _projection(model, recipe, sender)
        size, about = (x[texts.real].pow(2).mean().sqrt() for x in (into, stream))
        scale = float(recipe.rho * about / size) if size > 0 else 0.0
        found[sender] = _Output((into * scale).pow(2).sum(-1), scale)
    return found


def _written_values(model: Model, trace: Trace) -> list[tuple[Tensor, Tensor]]:
    """Every sender's output without biases, and the stream after it, [R, T, width] each."""
    found = [(trace.embed, trace.embed)]
    for block, layer in zip(model.blocks, trace.layers, strict=True):
        out = block.attention.out.weight.view(model.heads, model.head_size, -1)
        heads = torch.einsum("rthe,hed->hrtd", layer.z, out)
        found += [(values, layer.mid) for values in heads]
        bias = block.one_mlp.down.bias
        found.append((layer.mlp if bias is None else layer.mlp - bias, layer.mid + layer.mlp))
    return found


def _growth(
    model: Model,
    texts: Sample,
    trace: Trace,
    outputs: dict[str, _Output],
    width: int,
    recipe: Recipe,
) -> list[float]:
    """Growth of the norm's input by the channels, for each norm."""
    energy = outputs[EMBED].energy.clone()
    found = []

    def add(stream: Tensor, eps: float) -> None:
        own = stream.pow(2).sum(-1)
        ratio = ((own + energy) / width + eps) / (own / model.width + eps)
        found.append(float(ratio.sqrt()[texts.real].mean()))

    for number, (block, layer) in enumerate(zip(model.blocks, trace.layers, strict=True)):
        add(layer.pre, block.attention.norm.eps)
        for head in range(model.heads):
            energy += outputs[head_name(number, head)].energy
        add(layer.mid, block.one_mlp.norm.eps)
        energy += outputs[mlp_name(number)].energy
    add(trace.final, model.norm.eps)
    return found


def _write(
    base: Model, wide: Model, layout: Layout, recipe: Recipe, sender: str, scale: float
) -> None:
    """Let a sender write a projection of its output into its channel (in place)."""
    projection = _projection(base, recipe, sender) * scale
    for weight in outputs(wide, sender):
        weight[:, layout.of(sender)] = weight[:, : base.width] @ projection
