"""A library model's weights as plain matrices, by what they do, whatever its family calls them."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import torch
from naive_hooks import EVERY, Places, groups_of, head_size, out_proj, place_of, projection
from torch import Tensor

_GPT2 = Places(
    "transformer.h", "ln_1", "attn", "ln_2", "mlp.c_fc", "mlp.c_proj", "transformer.ln_f"
)
_LIKE_LLAMA = ("mistral", "qwen2", "qwen3", "gemma", "seed_oss")
PLACES = (
    EVERY
    | {"gpt2": _GPT2, "gemma2": EVERY["gemma3_text"]}
    | dict.fromkeys(_LIKE_LLAMA, EVERY["llama"])
)


def place(hf: Any) -> Places:
    """Where a model keeps what."""
    known = PLACES[hf.config.model_type]
    return place_of(hf) if hf.config.model_type in EVERY else known


def layers_of(hf: Any) -> Any:
    """The blocks of a model."""
    return attrgetter(place(hf).blocks)(hf)


def final_norm(hf: Any) -> Any:
    """The norm before the unembedding."""
    return attrgetter(place(hf).final_norm)(hf)


def centred(hf: Any) -> bool:
    """Whether its norms take the mean out."""
    return isinstance(final_norm(hf), torch.nn.LayerNorm)


def matrix(module: Any) -> Tensor:
    """[inputs × outputs], float64."""
    weight = module.weight.detach().double()
    return weight if type(module).__name__ == "Conv1D" else weight.T


def parts(hf: Any, layer: int) -> dict[str, Tensor]:
    """q, k, v, out, what the MLP reads with (in) and writes with (down), [inputs × outputs]."""
    block, factor = layers_of(hf)[layer], getattr(hf.config, "residual_multiplier", 1.0)
    if hf.config.model_type == "gpt2":
        q, k, v = matrix(block.attn.c_attn).chunk(3, 1)
        found = {"q": q, "k": k, "v": v, "out": matrix(block.attn.c_proj)}
        return found | {"in": matrix(block.mlp.c_fc), "down": matrix(block.mlp.c_proj)}
    attention = attrgetter(place(hf).attention)(block)
    counts = {"q": hf.config.num_attention_heads, "k": groups_of(hf), "v": groups_of(hf)}
    found = {}
    for letter, count in counts.items():
        slots = [projection(hf, attention, letter, head) for head in range(count)]
        found[letter] = torch.cat([matrix(module)[:, mine] for module, mine in slots], 1)
    found["out"] = matrix(out_proj(block, place(hf))) * factor
    names = ("gate_proj", "up_proj", "gate_up_proj", "dense_h_to_4h")
    first = [getattr(block.mlp, name) for name in names if hasattr(block.mlp, name)]
    found["in"] = torch.cat([matrix(module) for module in first], 1)
    return found | {"down": matrix(writing(hf, layer)["down"]) * factor}


def writing(hf: Any, layer: int) -> dict[str, Any]:
    """The modules that attention and the MLP write through."""
    block = layers_of(hf)[layer]
    if hf.config.model_type == "gpt2":
        return {"out": block.attn.c_proj, "down": block.mlp.c_proj}
    last = getattr(block.mlp, "down_proj", None) or block.mlp.dense_4h_to_h
    return {"out": out_proj(block, place(hf)), "down": last}


def norms(hf: Any, layer: int) -> dict[str, Any]:
    """The norms before attention and MLP (None: none), and those after them (out, down)."""
    at, block = place(hf), layers_of(hf)[layer]
    found = {
        name: None if called is None else getattr(block, called)
        for name, called in (("attention", at.attention_norm), ("mlp", at.mlp_norm))
    }
    if at.post is not None:
        found |= {"out": getattr(block, at.post[0]), "down": getattr(block, at.post[1])}
    return found


def gain(norm: Any) -> Tensor | float:
    """What a norm multiplies by [d], float64; 1 where there is none."""
    if norm is None:
        return 1.0
    weight = norm.weight.detach()
    return (weight + 1 if "Gemma" in type(norm).__name__ else weight).double()


def eps(norm: Any) -> float:
    """What a norm adds to the mean square."""
    return norm.eps if hasattr(norm, "eps") else norm.variance_epsilon


def rms(norm: Any, x: Tensor) -> Tensor:
    """What a norm divides x [d] by, float64."""
    x = x.double()
    if norm is None:
        return torch.ones((), dtype=torch.float64)
    if isinstance(norm, torch.nn.LayerNorm):
        x = x - x.mean()
    return (x.square().mean() + eps(norm)).sqrt()


def head_gains(hf: Any, layer: int) -> tuple[Tensor, Tensor]:
    """Gains of the norms of q and k by head and by group [heads × size], [groups × size]."""
    counts, size = (hf.config.num_attention_heads, groups_of(hf)), None
    found = []
    for count, name in zip(counts, ("q_norm", "k_norm"), strict=True):
        if hf.config.model_type == "gpt2":
            size = hf.config.n_embd // hf.config.n_head
            norm = None
        else:
            size = head_size(hf)
            norm = getattr(attrgetter(place(hf).attention)(layers_of(hf)[layer]), name, None)
        weight = torch.ones(size).double() if norm is None else torch.as_tensor(gain(norm))
        found.append(weight.view(-1, size).expand(count, size))
    return found[0], found[1]
