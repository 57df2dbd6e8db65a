"""Sizes of a model that the cost of a measurement depends on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from circuitgraph.engine.families import has_reader
from circuitgraph.engine.model import Experts, Model, numbers
from circuitgraph.models.architectures import sizes_of

_BLOCK = re.compile(r"\.(\d+)\.")
_ADDED = re.compile(r"\.(lora_\w+|modules_to_save)\.")


@dataclass(frozen=True)
class Shape:
    """Sizes of one model.

    Attributes
    ----------
    hidden : int
        Of the widest matrix of an MLP.
    block_weights : int
        Numbers in the matrices of one block that a position meets (of experts those chosen),
        adapters left out.
    gated : bool
        Whether MLPs have a gate.
    hooked : bool
        No reader of ours knows the family.
    parallel : bool
        Attention and MLP of a block read the same stream; without a reader known after a run.
    experts : tuple of int
        Of every layer, 0 where it has an MLP; none where no layer has any.
    chosen : int
        How many experts a position has.
    """

    layers: int
    heads: int
    kv_heads: int
    width: int
    head_size: int
    hidden: int
    block_weights: int
    vocabulary: int
    gated: bool
    parameters: int
    hooked: bool
    parallel: bool = False
    experts: tuple[int, ...] = ()
    chosen: int = 0

    @property
    def group(self) -> int:
        """Query heads a key/value group."""
        return self.heads // self.kv_heads

    @classmethod
    def of(cls, hf: Any) -> Shape:
        """Sizes of the library's model, its adapter merged or not."""
        config = hf.config
        layers, heads, kv_heads = sizes_of(config, hf.name_or_path)
        own = {name: p.shape for name, p in hf.named_parameters() if not _ADDED.search(name)}
        inside = {name: shape for name, shape in own.items() if _BLOCK.search(name)}
        matrices = {name: shape for name, shape in inside.items() if len(shape) == 2}
        stacked = {name: shape for name, shape in inside.items() if len(shape) == 3}  # experts
        mlp = [max(shape) for name, shape in matrices.items() if ".mlp." in name]
        chosen = getattr(config, "num_experts_per_tok", None) or 0
        mixtures = sum(shape.numel() * chosen // shape[0] for shape in stacked.values())
        return cls(
            layers=layers,
            heads=heads,
            kv_heads=kv_heads,
            width=config.hidden_size,
            head_size=getattr(config, "head_dim", None) or config.hidden_size // heads,
            hidden=max(mlp, default=4 * config.hidden_size),
            block_weights=(sum(a * b for a, b in matrices.values()) + mixtures) // layers,
            vocabulary=config.vocab_size,
            gated=bool(stacked) or any("gate" in name for name in matrices),
            parameters=sum(shape.numel() for shape in own.values()),
            hooked=not has_reader(config.model_type),
            parallel=bool(getattr(config, "use_parallel_residual", False)),
            experts=_experts(stacked, layers),
            chosen=chosen if stacked else 0,
        )

    @classmethod
    def of_engine(cls, model: Model) -> Shape:
        """Sizes of a model whose weights were read."""
        attention, mlp = model.blocks[0].attention, model.blocks[0].mlp
        own = [x.weight for x in (attention.q, attention.k, attention.v, attention.out)]
        met, hidden, gated = 0, 0, True
        chosen = [block.mlp.chosen for block in model.blocks if isinstance(block.mlp, Experts)]
        if isinstance(mlp, Experts):
            matrices = (mlp.gate, mlp.up, mlp.down)
            met, hidden = sum(x[0].numel() for x in matrices) * mlp.chosen, mlp.up.shape[-1]
        else:
            gated = mlp.gate is not None
            own += [x.weight for x in (mlp.gate, mlp.up, mlp.down) if x is not None]
            hidden = mlp.up.weight.shape[-1]
        return cls(
            layers=model.layers,
            heads=model.heads,
            kv_heads=model.kv_heads,
            width=model.width,
            head_size=model.head_size,
            hidden=hidden,
            block_weights=met + sum(x.numel() for x in own),
            vocabulary=len(model.unembed),
            gated=gated,
            parameters=numbers(model),
            hooked=False,
            parallel=model.parallel,
            experts=model.experts,
            chosen=max(chosen, default=0),
        )


def _experts(stacked: Mapping[str, Sequence[int]], layers: int) -> tuple[int, ...]:
    """Experts of every layer, of matrices by their names."""
    counts = [0] * layers
    for name, shape in stacked.items():
        found = _BLOCK.search(name)
        assert found is not None
        counts[int(found[1])] = shape[0]
    return tuple(counts) if stacked else ()
