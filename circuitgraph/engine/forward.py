"""The forward pass with everything a patch needs left in sight.

Shapes: R rows (sequences), T positions, d width, H heads, G key/value groups, e head
size. Rows are padded on the right: attention is causal, so padding after the end of a
row changes none of its numbers, and no mask of ours can go wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from circuitgraph.engine.model import Attention, Block, Linear, Model, Norm, Rotary, for_rows


@dataclass(frozen=True)
class LayerTrace:
    """What one block computed in a clean or corrupt run.

    Attributes:
        pre: residual stream entering the block [R, T, d].
        mid: after attention [R, T, d].
        q: rotated queries [R, T, H, e].
        k, v: rotated keys, and values [R, T, G, e].
        z: attention output before the output matrix [R, T, H, e].
        raw: output of attention before its post-norm, bias included [R, T, d].
        mlp: what the MLP adds, post-norm included [R, T, d].
    """

    pre: Tensor
    mid: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    z: Tensor
    raw: Tensor
    mlp: Tensor


@dataclass(frozen=True)
class Trace:
    """A whole run: the embedding, every block, and the final residual stream."""

    embed: Tensor
    layers: tuple[LayerTrace, ...]
    final: Tensor


def embed(model: Model, tokens: Tensor) -> Tensor:
    """Token (and learnt position) embedding: the contribution of ``EMBED`` [R, T, d]."""
    x = model.embed[tokens] * model.embed_scale
    return x if model.positions is None else x + model.positions[: tokens.shape[-1]]


def forward(model: Model, tokens: Tensor, ends: Tensor | None = None) -> Trace:
    """Run all blocks on right-padded token ids [R, T].

    Args:
        ends: number of tokens of each row without its padding [R]; None where none is padded.
    """
    rows, length = tokens.shape
    model = for_rows(model, tokens.new_full((rows,), length) if ends is None else ends)
    positions = torch.arange(length, device=tokens.device).expand(rows, length)
    x = start = embed(model, tokens)
    layers = []
    for block in model.blocks:
        layers.append(run_block(model, block, x, positions))
        x = layers[-1].mid + layers[-1].mlp
    return Trace(start, tuple(layers), x)


def run_block(model: Model, block: Block, x: Tensor, positions: Tensor) -> LayerTrace:
    """One block on a residual [R, T, d] at positions [R, T]."""
    attention = block.attention
    normed = attention.norm(x)
    q, k, v = (project(model, attention, name, normed, positions) for name in "qkv")
    seen = visible(positions, positions, attention.window)
    z = attend(model, attention, q, k, v, seen)
    raw = attention.out(z.flatten(-2))
    mid = x + post(raw, attention.post)
    return LayerTrace(x, mid, q, k, v, z, raw, mlp(model, block, mid))


def project(
    model: Model, attention: Attention, name: str, normed: Tensor, positions: Tensor
) -> Tensor:
    """q, k or v of normed inputs [..., T, d] at given positions -> [..., T, H or G, e]."""
    return placed(model, attention, name, heads_of(model, attention, name, normed), positions)


def heads_of(model: Model, attention: Attention, name: str, normed: Tensor) -> Tensor:
    """q, k or v before head norms and rotation: [..., T, d] -> [..., T, H or G, e]."""
    weights: Linear = getattr(attention, name)
    return weights(normed).unflatten(-1, (-1, model.head_size))


def placed(model: Model, attention: Attention, name: str, y: Tensor, positions: Tensor) -> Tensor:
    """Head norms and rotation of q or k [..., T, heads, e]; v is left as it is."""
    head_norm: Norm | None = {"q": attention.q_norm, "k": attention.k_norm, "v": None}[name]
    if head_norm is not None:
        y = head_norm(y)
    if name == "v" or model.rotary is None:
        return y
    return rotate(y, model.rotary, positions)


def rotate(x: Tensor, rotary: Rotary, positions: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021, arXiv:2104.09864), half-split form."""
    cos, sin = (_at(table, positions).unsqueeze(-2) for table in (rotary.cos, rotary.sin))
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin


def _at(table: Tensor, positions: Tensor) -> Tensor:
    if table.dim() == 2:
        return table[positions]
    return table[torch.arange(len(table), device=table.device)[:, None], positions]


def visible(queries: Tensor, keys: Tensor, window: int | None) -> Tensor:
    """Which key positions [R, T] each query position [R, Q] may see: bool [R, 1, Q, T]."""
    distance = queries[:, :, None] - keys[:, None, :]
    seen = distance >= 0
    if window is not None:
        seen &= distance < window
    return seen.unsqueeze(1)


def attend(
    model: Model, attention: Attention, q: Tensor, k: Tensor, v: Tensor, seen: Tensor
) -> Tensor:
    """Attention of q [M, Q, H, e] over k, v [M, T, G, e], mask [M, 1, Q, T] -> [M, Q, H, e]."""
    q, k, v = (t.transpose(-2, -3) for t in (q, k, v))
    if k.shape[-3] != q.shape[-3]:
        repeats = q.shape[-3] // k.shape[-3]
        k, v = (t.repeat_interleave(repeats, -3) for t in (k, v))
    if model.attention_cap is None:
        z = scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=attention.scale)
    else:
        scores = softcap((q @ k.transpose(-1, -2)) * attention.scale, model.attention_cap)
        z = scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v
    return z.transpose(-2, -3)


def mlp(model: Model, block: Block, mid: Tensor) -> Tensor:
    """What the MLP adds to the stream [..., d], post-norm included."""
    weights = block.mlp
    return post(weights.down(hidden(model, block, mid)), weights.post)


def hidden(model: Model, block: Block, mid: Tensor) -> Tensor:
    """What the MLP holds before its last matrix [..., f]."""
    weights = block.mlp
    normed = weights.norm(mid)
    if weights.gate is None:
        return model.activation(weights.up(normed))
    return model.activation(weights.gate(normed)) * weights.up(normed)


def post(x: Tensor, norm: Norm | None) -> Tensor:
    """The norm after a branch, where the family has one."""
    return x if norm is None else norm(x)


def softcap(x: Tensor, cap: float | None) -> Tensor:
    """cap · tanh(x / cap) (Gemma-2), or x."""
    return x if cap is None else cap * torch.tanh(x / cap)


def logits(model: Model, residual: Tensor) -> Tensor:
    """Logits over the whole vocabulary of final residuals [..., d]."""
    return softcap(model.norm(residual) @ model.unembed.T, model.logit_cap)
