"""Read and write model folders as float64 weights; pairs of them with known changed edges."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from circuitgraph.base.components import Edge, order_key
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.model import Block, Linear, Model, Norm, to_device
from circuitgraph.models.variants import TOKENIZER_FILES, load_variant

TRUTH = "truth.csv"
SPLIT = "truth-split.csv"
OFFSETS = {"llama": 0, "mistral": 0, "qwen2": 0, "qwen3": 0, "seed_oss": 0, "gemma": 1}
"""Llama-like families, and what they leave out of their stored norm gains."""


@dataclass(frozen=True)
class Source:
    """A model's weights and configuration, to be changed.

    Attributes
    ----------
    model
        Weights in float64, no two of them sharing memory.
    config
        The library's configuration.
    tokenizer
        The library's tokenizer.
    folder
        Where it was read.
    tied
        Embedding and unembedding are stored once.
    """

    model: Model
    config: Any
    tokenizer: Any
    folder: Path
    tied: bool


def read(folder: str | Path) -> Source:
    """Read a Hugging Face folder.

    Raises
    ------
    InputError
        A folder that cannot be read, or a family that cannot be planted in.
    """
    loaded = load_variant(folder)
    family = loaded.hf.config.model_type
    if family not in OFFSETS and family != "gpt2":
        raise InputError(
            f"{folder}: model type {family!r} cannot be planted in; "
            f"take one of {', '.join(sorted([*OFFSETS, 'gpt2']))}"
        )
    model = to_device(from_hf(loaded.hf), "cpu", torch.float64)
    model = replace(model, unembed=model.unembed.clone())  # changed in place, apart from embed
    tied = bool(loaded.hf.config.tie_word_embeddings)
    return Source(model, loaded.hf.config, loaded.tokenizer, Path(loaded.variant.base), tied)


def write(source: Source, model: Model, out: Path) -> Path:
    """Write weights as a Hugging Face folder in float32, with the source's tokenizer.

    A model of another width or head size than the source's is not tied.

    Raises
    ------
    UsageError
        Something lies there already.
    """
    require_free(out)
    config = copy.deepcopy(source.config)
    if model.width != source.model.width:
        _resize(config, model)
    save(model, config, out)
    for name in TOKENIZER_FILES:
        if (source.folder / name).is_file():
            shutil.copyfile(source.folder / name, out / name)
    return out


def save(model: Model, config: Any, out: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` in float32."""
    out.mkdir(parents=True, exist_ok=True)
    config.dtype = "float32"
    state = STATES.get(model.family, _llama_like)(model)
    if config.tie_word_embeddings:
        del state["lm_head.weight"]
    config.save_pretrained(out)
    stored = {name: value.to(torch.float32).contiguous() for name, value in state.items()}
    save_file(stored, out / "model.safetensors", metadata={"format": "pt"})


def require_free(out: Path) -> None:
    """Require an empty or new folder.

    Raises
    ------
    UsageError
        It does, or is a file.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(f"{out}: there is something there already; name a new folder")


def _resize(config: Any, model: Model) -> None:
    config.tie_word_embeddings = False
    if model.family == "gpt2":
        config.n_embd = model.width
        config.n_inner = model.blocks[0].one_mlp.up.weight.shape[1]
    else:
        config.hidden_size = model.width
        config.head_dim = model.head_size


def _llama_like(model: Model) -> dict[str, Tensor]:
    offset = OFFSETS[model.family]
    state = {
        "model.embed_tokens.weight": model.embed,
        "model.norm.weight": model.norm.weight - offset,
        "lm_head.weight": model.unembed,
    }
    for index, block in enumerate(model.blocks):
        for name, value in _llama_block(block, offset).items():
            state[f"model.layers.{index}.{name}"] = value
    return state


def _llama_block(block: Block, offset: int) -> dict[str, Tensor]:
    attention, mlp = block.attention, block.one_mlp
    linears: dict[str, Linear | None] = {
        "self_attn.q_proj": attention.q,
        "self_attn.k_proj": attention.k,
        "self_attn.v_proj": attention.v,
        "self_attn.o_proj": attention.out,
        "mlp.gate_proj": mlp.gate,
        "mlp.up_proj": mlp.up,
        "mlp.down_proj": mlp.down,
    }
    norms: dict[str, Norm | None] = {
        "input_layernorm": attention.norm,
        "post_attention_layernorm": mlp.norm,
        "self_attn.q_norm": attention.q_norm,
        "self_attn.k_norm": attention.k_norm,
    }
    state = {f"{n}.weight": norm.weight - offset for n, norm in norms.items() if norm is not None}
    for name, linear in linears.items():
        if linear is not None:
            state[f"{name}.weight"] = linear.weight.T
            if linear.bias is not None:
                state[f"{name}.bias"] = linear.bias
    return state


def _gpt2(model: Model) -> dict[str, Tensor]:
    assert model.positions is not None
    state = {
        "transformer.wte.weight": model.embed,
        "transformer.wpe.weight": model.positions,
        "lm_head.weight": model.unembed,
        **_both("transformer.ln_f", model.norm),
    }
    for index, block in enumerate(model.blocks):
        attention, mlp = block.attention, block.one_mlp
        q, k, v = attention.q, attention.k, attention.v
        assert q.bias is not None
        assert k.bias is not None
        assert v.bias is not None
        fused = Linear(
            torch.cat([q.weight, k.weight, v.weight], 1), torch.cat([q.bias, k.bias, v.bias])
        )
        parts: dict[str, Linear | Norm] = {
            "ln_1": attention.norm,
            "attn.c_attn": fused,
            "attn.c_proj": attention.out,
            "ln_2": mlp.norm,
            "mlp.c_fc": mlp.up,
            "mlp.c_proj": mlp.down,
        }
        for name, part in parts.items():
            state.update(_both(f"transformer.h.{index}.{name}", part))
    return state


def _both(name: str, part: Linear | Norm) -> dict[str, Tensor]:
    assert part.bias is not None
    return {f"{name}.weight": part.weight, f"{name}.bias": part.bias}


STATES: dict[str, Callable[[Model], dict[str, Tensor]]] = {"gpt2": _gpt2}
"""Families whose weights lie otherwise than Llama's."""


class Change(NamedTuple):
    """One edge that differs, and how: ``off``, ``on`` or ``flip``."""

    edge: Edge
    change: str


@dataclass(frozen=True, eq=False)
class Planted:
    """Two model folders and their known differences.

    Attributes
    ----------
    folder_a, folder_b
        Hugging Face folders.
    truth
        Edges that differ, one row each: source, target, input, change. Named as in
        ``components.effect_edges`` with joint inputs (``all`` for heads). Empty for a null.
    split
        The same with q, k and v told apart.
    """

    folder_a: Path
    folder_b: Path
    truth: pd.DataFrame
    split: pd.DataFrame


def table(changes: Iterable[Change]) -> pd.DataFrame:
    """Table of changes in order of computation, each edge once."""
    rows = {(*change.edge, change.change) for change in changes}
    rows_in_order = sorted(rows, key=lambda row: (order_key(row[1]), order_key(row[0]), row[2]))
    return pd.DataFrame(rows_in_order, columns=["source", "target", "input", "change"], dtype=str)


def keep(planted: Planted, folder: Path) -> Planted:
    """Write the ground truth as CSV."""
    planted.truth.to_csv(folder / TRUTH, index=False)
    planted.split.to_csv(folder / SPLIT, index=False)
    return planted
