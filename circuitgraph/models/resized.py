"""Adapters trained after tokens were added: the base is resized with the adapter's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.errors import InputError

_PREFIX = "base_model.model."
_ROWS = {
    "weight": 0,
    "base_layer.weight": 0,
    "original_module.weight": 0,
    "lora_embedding_A": 1,
    "lora_B.weight": 0,
}
"""How an adapter's tensors of an embedding end, and which of their sides counts its tokens."""
_WHOLE = ("weight", "base_layer.weight")


def resize_like(
    hf: Any, adapter: Path, stored: dict[str, Tensor], settings: dict[str, Any]
) -> list[str]:
    """Resize both ends of a base to the vocabulary an adapter was trained with; remarks.

    Raises
    ------
    InputError
        Rows that the adapter lacks.
    """
    ends = _ends(hf)
    known = len(hf.get_input_embeddings().weight)
    counts = {n for name in ends for n in _counts(stored, name)} - {known}
    trained = _trained_tokens(settings)
    if not counts and any(token >= known for tokens in trained.values() for token in tokens):
        counts = {1 + max(token for tokens in trained.values() for token in tokens)}
    if not counts:
        return []
    if len(counts) > 1:
        raise InputError(
            f"{adapter}: its embeddings have {' and '.join(map(str, sorted(counts)))} rows, and "
            f"the base {known}; they do not belong together"
        )
    size = counts.pop()
    lacking = [name for name in ends if not _brought(hf, name, known, size, stored, settings)]
    if lacking:
        raise InputError(
            f"{adapter}: was trained with {size} tokens, the base has {known}, and the adapter "
            f"brings no whole {lacking[0]}: the rows of the tokens added are not in the folder; "
            "merge it in the process that trained it (model.merge_and_unload(), then "
            "save_pretrained) and give that full model's folder"
        )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        hf.resize_token_embeddings(size, mean_resizing=False)
        for end in (hf.get_input_embeddings(), hf.get_output_embeddings()):
            end.weight[known:] = 0.0  # until the adapter's come
    return [
        f"{adapter.name}: brings {size} token embeddings, the base has {known}; its own are used"
    ]


def _ends(hf: Any) -> list[str]:
    """Names of the embedding and the unembedding."""
    ends = (hf.get_input_embeddings(), hf.get_output_embeddings())
    return [name for name, module in hf.named_modules() if any(module is end for end in ends)]


def _counts(stored: dict[str, Tensor], name: str) -> set[int]:
    found = {end: stored.get(f"{_PREFIX}{name}.{end}") for end in _ROWS}
    return {t.shape[_ROWS[end]] for end, t in found.items() if t is not None and t.dim() == 2}


def _trained_tokens(settings: dict[str, Any]) -> dict[str, list[int]]:
    """Tokens trained row by row, by the module's name."""
    trained = settings.get("trainable_token_indices") or {}
    trained = trained if isinstance(trained, dict) else {"embed_tokens": trained}
    return {
        name: [token for token in tokens if isinstance(token, int)]
        for name, tokens in trained.items()
        if isinstance(tokens, list)
    }


def _brought(
    hf: Any, name: str, known: int, size: int, stored: dict[str, Tensor], settings: dict[str, Any]
) -> bool:
    """Whether every row of this end that the base lacks is in the adapter."""
    tied = hf.get_input_embeddings().weight is hf.get_output_embeddings().weight
    names = _ends(hf) if tied else [name]
    rows = set(range(known, size))
    trained = _trained_tokens(settings)
    saved = settings.get("modules_to_save") or []
    for other in names:
        last = other.rsplit(".", 1)[-1]
        # A copy of one end alone (modules_to_save) leaves the other end's rows untold.
        alone = other != name and last in saved
        whole = any(len(stored.get(f"{_PREFIX}{other}.{end}", ())) == size for end in _WHOLE)
        if (whole and not alone) or rows <= set(trained.get(last, ())):
            return True
    return False
