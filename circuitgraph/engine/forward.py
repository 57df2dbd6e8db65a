"""The forward pass, keeping all that a patch needs.

``run_block`` is the one place that computes a block. Whatever runs a block otherwise (with a
receiver's input replaced, with components patched, on a window of the positions, for
gradients) passes it what differs.

Shapes: R rows (sequences), T positions, d width, H heads, G key/value groups, e head
size. Rows are padded on the right: attention is causal, so padding after the end of a
row changes none of its numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from circuitgraph.engine.experts import mixed
from circuitgraph.engine.model import (
    Attention,
    Block,
    Experts,
    Linear,
    Model,
    Norm,
    Rotary,
    for_rows,
)
from circuitgraph.engine.norms import JointNorm


@dataclass(frozen=True)
class LayerTrace:
    """Activations of one block.

    Attributes
    ----------
    pre, mid : [R, T, d]
        Residual stream entering the block, and after attention.
    read : [R, T, d]
        Input of the MLP: ``mid``, or ``pre`` where blocks are parallel.
    q : [R, T, H, e]
        Rotated queries.
    k, v : [R, T, G, e]
        Rotated keys, and values.
    z : [R, T, H, e]
        Attention output before the output matrix.
    raw : [R, T, d]
        Output of attention before its post-norm, bias included.
    mlp : [R, T, d]
        Output of the MLP, post-norm included.
    """

    pre: Tensor
    mid: Tensor
    read: Tensor
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


Read = Callable[[str, Tensor], Tensor]
"""A receiver's input by its name: for ``q``, ``k`` and ``v`` the projections before head norms and
rotation, for ``mlp`` the stream that it reads. Given the stream that stands there."""
Write = Callable[[Tensor, Tensor], Tensor]
"""The stream after attention, from z and from the output before the post-norm."""


@dataclass(frozen=True)
class Span:
    """Positions that a block computes: whole rows, unless a subclass takes fewer.

    ``keys`` int [R, W] are those of the stream that enters, ``queries`` int [R, Q] of the
    stream that leaves.
    """

    keys: Tensor
    queries: Tensor

    @classmethod
    def whole(cls, tokens: Tensor) -> Span:
        """All positions of rows of token ids [R, T]."""
        steps = torch.arange(tokens.shape[1], device=tokens.device).expand(*tokens.shape)
        return cls(steps, steps)

    def at_queries(self, x: Tensor) -> Tensor:
        """x [..., R, W, d] at the positions of the queries [..., R, Q, d]."""
        return x

    def attend(self, model: Model, attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """z of the queries [..., R, Q, H, e]."""
        return attend(model, attention, q, k, v, visible(self.queries, self.keys, attention.window))


def embed(model: Model, tokens: Tensor) -> Tensor:
    """Token (and learnt position) embedding: the contribution of ``EMBED`` [R, T, d]."""
    x = model.embed[tokens] * model.embed_scale
    return x if model.positions is None else x + model.positions[: tokens.shape[-1]]


def forward(model: Model, tokens: Tensor, ends: Tensor | None = None) -> Trace:
    """Run all blocks over token ids [R, T], padded on the right.

    ``ends`` [R]: number of tokens of each row without its padding; None where none is padded.
    """
    rows, length = tokens.shape
    model = for_rows(model, tokens.new_full((rows,), length) if ends is None else ends)
    span = Span.whole(tokens)
    x = start = embed(model, tokens)
    layers = []
    for block in model.blocks:
        layers.append(run_block(model, block, x, span))
        x = layers[-1].mid + layers[-1].mlp
    return Trace(start, tuple(layers), x)


def run_block(
    model: Model,
    block: Block,
    x: Tensor,
    span: Span,
    *,
    read: Read | None = None,
    write: Write | None = None,
) -> LayerTrace:
    """Run one block: attention, then the MLP (beside it where blocks are parallel).

    Parameters
    ----------
    model, block : Model, Block
    x : [..., R, W, d]
        The residual stream at ``span.keys``.
    span : Span
    read : Read, optional
        Input of each receiver in place of the stream.
    write : Write, optional
        What leaves attention in place of the stream plus its output.

    Returns
    -------
    LayerTrace
        ``q``, ``z``, ``raw``, ``mid``, ``read`` and ``mlp`` at ``span.queries``.
    """
    attention = block.attention
    read = stream_reader(model, attention, x, span) if read is None else read
    q, k, v = (
        norm_and_rotate(model, attention, name, read(name, x), positions)
        for name, positions in (("q", span.queries), ("k", span.keys), ("v", span.keys))
    )
    z = span.attend(model, attention, q, k, v)
    raw = attention.out(z.flatten(-2))
    mid = write(z, raw) if write else span.at_queries(x) + post(raw, attention.post)
    inputs = read("mlp", span.at_queries(x) if model.parallel else mid)
    return LayerTrace(x, mid, inputs, q, k, v, z, raw, mlp(model, block, inputs))


def stream_reader(model: Model, attention: Attention, x: Tensor, span: Span) -> Read:
    """The input of every receiver of a block from the stream, normed once for q, k and v."""
    normed = attention.norm(x)

    def read(name: str, stream: Tensor) -> Tensor:
        if name == "mlp":
            return stream
        there = span.at_queries(normed) if name == "q" else normed
        return heads_of(model, attention, name, there)

    return read


def project(
    model: Model,
    attention: Attention,
    name: str,
    normed: Tensor,
    positions: Tensor,
    clean: Tensor | None = None,
) -> Tensor:
    """q, k or v of normed inputs [..., T, d] at given positions -> [..., T, H or G, e].

    With normed ``clean`` inputs [..., T, d], each head's as if the other heads read these: only
    norms over all heads tell the difference.
    """
    heads = heads_of(model, attention, name, normed)
    others = None if clean is None else heads_of(model, attention, name, clean)
    return norm_and_rotate(model, attention, name, heads, positions, others)


def heads_of(model: Model, attention: Attention, name: str, normed: Tensor) -> Tensor:
    """q, k or v before head norms and rotation: [..., T, d] -> [..., T, H or G, e]."""
    weights: Linear = getattr(attention, name)
    return weights(normed).unflatten(-1, (-1, model.head_size))


def norm_and_rotate(
    model: Model,
    attention: Attention,
    name: str,
    y: Tensor,
    positions: Tensor,
    others: Tensor | None = None,
) -> Tensor:
    """Head norms and rotation of q or k [..., T, heads, e]; v is left as it is.

    ``others``: values of the other heads where one head is changed; see ``project``.
    """
    head_norm: Norm | None = {"q": attention.q_norm, "k": attention.k_norm, "v": None}[name]
    if isinstance(head_norm, JointNorm) and others is not None:
        y = head_norm.alone(y, others)
    elif head_norm is not None:
        y = head_norm(y)
    if name == "v" or attention.rotary is None:
        return y
    return rotate(y, model.rotary[attention.rotary], positions)


def rotate(x: Tensor, rotary: Rotary, positions: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021, arXiv:2104.09864), half-split form.

    Dimensions of a head beyond those of the tables stay as they are (Phi-3, GPT-NeoX).
    """
    cos, sin = (_at(table, positions).unsqueeze(-2) for table in (rotary.cos, rotary.sin))
    size = cos.shape[-1]
    turned, rest = (x, None) if size == x.shape[-1] else (x[..., :size], x[..., size:])
    left, right = turned.chunk(2, -1)
    turned = turned * cos + torch.cat([-right, left], -1) * sin
    return turned if rest is None else torch.cat([turned, rest], -1)


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


def mlp(model: Model, block: Block, inputs: Tensor) -> Tensor:
    """Output of the MLP [..., d] for an input of the stream's kind, post-norm included."""
    weights = block.mlp
    if isinstance(weights, Experts):
        return mixed(weights, model.activation, weights.norm(inputs))
    return post(weights.down(hidden(model, block, inputs)), weights.post)


def hidden(model: Model, block: Block, inputs: Tensor) -> Tensor:
    """Hidden activations of the MLP before its last matrix [..., f]."""
    weights = block.one_mlp
    normed = weights.norm(inputs)
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
