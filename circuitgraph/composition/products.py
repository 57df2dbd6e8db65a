"""Composition scores from weights: how much of one component's output another can read.

For a sender with write weights W_s and a receiver with read weights W_r the score is
‖W_s W_r‖ / (‖W_s‖ ‖W_r‖), Frobenius norms (Elhage et al. 2021, A Mathematical Framework
for Transformer Circuits: Q-, K- and V-composition of heads). Row vectors throughout:

- a head writes V O (its values, then its slice of the output), and reads through its query
  by Q Kᵀ, through its key by K Qᵀ, through its value by V O; a key/value group reads for all
  its query heads side by side;
- an MLP writes by its down projection and reads by gate and up side by side; ``EMBED`` writes
  by token and position embeddings, ``LOGITS`` reads by all rows of the unembedding;
- the gain of a norm (and its centring) belongs to the receiver, that of a norm behind a
  branch (Gemma-2) to the sender; biases, scales of norms and rotary positions are left out:
  scores are those of equal positions.

No product of width × width is formed for a pair of heads: with V O = L R and Q Kᵀ = P T,
‖L R P T‖² = tr((R P)ᵀ (LᵀL) (R P) (T Tᵀ)), all of head size × head size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from circuitgraph.engine.model import Attention, Block, Model, Norm

ROWS = 16_384
"""Rows of an embedding that are turned into float64 at once."""
ROUNDING = 1e-10
"""Share of the squared norms below which a squared difference is float64 rounding."""


@dataclass(frozen=True)
class Scores:
    """Inner products of two models' virtual weights V = W_s W_r, float64 [edges].

    ``products`` are ⟨V_a, V_b⟩ in the order of ``components.effect_edges`` (heads, split inputs),
    ``sizes`` ⟨W_s^a, W_s^b⟩ ⟨W_r^a, W_r^b⟩.
    """

    products: Tensor
    sizes: Tensor


@dataclass(frozen=True)
class _Receiver:
    """One receiver's read weights in both models, W_r = P T.

    ``left`` is P of both [width × k], or None where T is the identity; ``gram`` is T_b T_aᵀ
    [k × k], or P_b P_aᵀ [width × width] where ``left`` is None.
    """

    left: tuple[Tensor, Tensor] | None
    gram: Tensor

    @property
    def size(self) -> Tensor:
        """⟨W_r^a, W_r^b⟩."""
        if self.left is None:
            return self.gram.trace()
        return (self.left[0].T @ self.left[1] * self.gram.T).sum()


@dataclass(frozen=True)
class _Senders:
    """Write weights of all earlier components, in both models.

    Attributes
    ----------
    right : [heads × size × width]
        R of the heads' W_s = L R, of both models.
    inner : [heads × size × size]
        L_aᵀ L_b.
    wide : [wide × width × width]
        W_aᵀ W_b of ``EMBED`` and the MLPs.
    places : positions of heads, and of the others, in order of computation
    """

    right: tuple[Tensor, Tensor]
    inner: Tensor
    wide: Tensor
    places: tuple[tuple[int, ...], tuple[int, ...]]

    def read_by(self, receiver: _Receiver) -> tuple[Tensor, Tensor]:
        """Products with one receiver, and sizes of the senders, [senders] each."""
        first, second = self.right
        if receiver.left is None:
            heads = (first * (self.inner @ second @ receiver.gram)).sum((-2, -1))
            wide = (self.wide.mT * receiver.gram).sum((-2, -1))
        else:
            a, b = receiver.left
            heads = ((first @ a) * (self.inner @ (second @ b) @ receiver.gram)).sum((-2, -1))
            wide = (a * (self.wide @ (b @ receiver.gram))).sum((-2, -1))
        sizes = (first * (self.inner @ second)).sum((-2, -1)), self.wide.diagonal(0, -2, -1).sum(-1)
        return self._in_order(heads, wide), self._in_order(*sizes)

    def _in_order(self, heads: Tensor, wide: Tensor) -> Tensor:
        return torch.cat([heads, wide])[torch.tensor(sum(self.places, ())).argsort()]

    def with_heads(self, right: tuple[Tensor, Tensor], inner: Tensor) -> _Senders:
        begin = sum(map(len, self.places))
        a, b = (torch.cat(pair) for pair in zip(self.right, right, strict=True))
        own = (*self.places[0], *range(begin, begin + len(inner)))
        inner = torch.cat([self.inner, inner])
        return replace(self, right=(a, b), inner=inner, places=(own, self.places[1]))

    def with_wide(self, gram: Tensor) -> _Senders:
        own = (*self.places[1], sum(map(len, self.places)))
        wide = torch.cat([self.wide, gram[None]])
        return replace(self, wide=wide, places=(self.places[0], own))


@torch.no_grad()
def virtual_products(a: Model, b: Model, advance: Callable[[int], None] = lambda _: None) -> Scores:
    """Inner products of both models' virtual weights, edge by edge.

    ``a`` and ``b`` have one shape; the same model twice gives squared norms.
    """
    written = _embedding(a, b)
    products: list[Tensor] = []
    sizes: list[Tensor] = []

    def add(receiver: _Receiver) -> None:
        found, size = written.read_by(receiver)
        products.append(found)
        sizes.append(size * receiver.size)

    for first, second in zip(a.blocks, b.blocks, strict=True):
        heads = _Heads.of(a, first.attention), _Heads.of(b, second.attention)
        for receiver in _attention_receivers(*heads):
            add(receiver)
        groups = torch.arange(a.heads) // a.group
        inner = (heads[0].v.mT @ heads[1].v)[groups]
        by_mlp = _Receiver(None, _read_by_mlp(second) @ _read_by_mlp(first).T)
        if a.parallel:  # it reads what attention reads
            add(by_mlp)
        written = written.with_heads((heads[0].out, heads[1].out), inner)
        if not a.parallel:
            add(by_mlp)
        written = written.with_wide(gram(_written_by_mlp(first), _written_by_mlp(second)))
        advance(1)
    add(_Receiver(None, _unembedding(a, b)))
    advance(1)
    return Scores(torch.cat(products), torch.cat(sizes))


def scores(own: Scores) -> Tensor:
    """Composition scores of one model, 0 to 1 [edges]; NaN where a weight is all 0."""
    return (own.products.clamp(min=0) / own.sizes).sqrt()


def relative_change(a: Scores, b: Scores, both: Scores) -> Tensor:
    """‖V_b − V_a‖ / (‖V_a‖ + ‖V_b‖), 0 to 1 [edges]; 0 where both are 0.

    Changes under about 1e-5 are rounding of the sums, and become 0.
    """
    squares = a.products.clamp(min=0), b.products.clamp(min=0)
    apart = squares[0] + squares[1] - 2 * both.products
    apart[apart < ROUNDING * (squares[0] + squares[1])] = 0.0
    total = squares[0].sqrt() + squares[1].sqrt()
    return torch.where(total > 0, apart.sqrt() / total, torch.zeros_like(total)).clamp(max=1.0)


def gram(a: Tensor, b: Tensor) -> Tensor:
    """aᵀ b in float64, of [rows × width] matrices that may be a vocabulary high."""
    parts = zip(a.split(ROWS), b.split(ROWS), strict=True)
    first, second = next(parts)
    total = first.double().T @ second.double()
    for first, second in parts:
        total += first.double().T @ second.double()
    return total


@dataclass(frozen=True)
class _Heads:
    """One attention's weights with the gains of its norms, float64.

    q: [heads × width × size]; k, v: [groups × width × size]; out: [heads × size × width].
    """

    q: Tensor
    k: Tensor
    v: Tensor
    out: Tensor

    @classmethod
    def of(cls, model: Model, attention: Attention) -> _Heads:
        def parts(weight: Tensor, count: int, norm: Norm | None) -> Tensor:
            read = attention.norm.fold(weight)
            split = read.view(len(read), count, -1).transpose(0, 1)
            if norm is None:
                return split
            gain = norm.weight.double()  # of all heads alike, or of each its own
            return split * (gain if gain.dim() == 1 else gain[:, None])

        out = attention.out.weight.double()
        if attention.post is not None:
            out = out * attention.post.weight.double()
        return cls(
            q=parts(attention.q.weight, model.heads, attention.q_norm),
            k=parts(attention.k.weight, model.kv_heads, attention.k_norm),
            v=parts(attention.v.weight, model.kv_heads, None),
            out=out.view(model.heads, -1, out.shape[1]),
        )

    def grouped(self, weights: Tensor) -> Tensor:
        """Weights of query heads by their key/value group [groups × heads a group × …]."""
        return weights.view(len(self.k), -1, *weights.shape[1:])


def _attention_receivers(a: _Heads, b: _Heads) -> list[_Receiver]:
    """q of every head, then k and v of every group."""
    group = len(a.q) // len(a.k)
    keys = b.k.mT @ a.k
    found = [_Receiver((a.q[h], b.q[h]), keys[h // group]) for h in range(len(a.q))]
    queries = (b.grouped(b.q).mT @ a.grouped(a.q)).sum(1)
    outs = (b.grouped(b.out) @ a.grouped(a.out).mT).sum(1)
    groups = range(len(a.k))
    found += [_Receiver((a.k[g], b.k[g]), queries[g]) for g in groups]
    return found + [_Receiver((a.v[g], b.v[g]), outs[g]) for g in groups]


def _read_by_mlp(block: Block) -> Tensor:
    """Gate and up side by side [width × …]."""
    mlp = block.one_mlp
    both = [linear.weight for linear in (mlp.gate, mlp.up) if linear is not None]
    return mlp.norm.fold(torch.cat(both, 1))


def _written_by_mlp(block: Block) -> Tensor:
    """[hidden × width]."""
    weight, post = block.one_mlp.down.weight.double(), block.one_mlp.post
    return weight if post is None else weight * post.weight.double()


def _embedding(a: Model, b: Model) -> _Senders:
    wide = a.embed_scale * b.embed_scale * gram(a.embed, b.embed)
    if a.positions is not None and b.positions is not None:
        wide = wide + gram(a.positions, b.positions)
    size, width = a.head_size, a.width
    none = wide.new_empty(0, size, width)
    return _Senders((none, none), wide.new_empty(0, size, size), wide[None], ((), (0,)))


def _unembedding(a: Model, b: Model) -> Tensor:
    """P_b P_aᵀ of what ``LOGITS`` reads: folding a gain scales, centring centres both sides."""
    read = gram(b.unembed, a.unembed)
    read = b.norm.weight.double()[:, None] * read * a.norm.weight.double()
    if a.norm.centre:
        read = read - read.mean(0)
        read = read - read.mean(1, keepdim=True)
    return read
