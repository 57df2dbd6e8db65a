"""A decoder-only transformer as plain tensors.

The weights are the library's own, neither folded nor centred, so that a base and its
variants share one basis. Families differ only in how these records are filled
(``engine/families/``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from circuitgraph.base.errors import UsageError

Record = TypeVar("Record")


def to_device(
    record: Record, device: torch.device | str, dtype: torch.dtype | None = None
) -> Record:
    """The same record with every tensor on a device, floating ones in a type.

    A tensor that stands in it twice (tied embeddings) is one tensor in the result as well.
    """
    known: dict[tuple, Tensor] = {}

    def visit(value: Any) -> Any:
        if isinstance(value, Tensor):
            key = (value.data_ptr(), value.shape, value.stride(), value.dtype)
            if key not in known or not value.numel():
                known[key] = value.to(device, dtype if value.is_floating_point() else None)
            return known[key]
        if isinstance(value, tuple):
            return tuple(map(visit, value))
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: visit(getattr(value, f.name)) for f in fields(value)})
        return value

    return visit(record)


def numbers(record: Any) -> int:
    """Numbers in all tensors of a record, one that stands in it twice counted once."""
    return sum({tensor.data_ptr(): tensor.numel() for tensor in _tensors(record)}.values())


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _tensors(part)
    elif is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from _tensors(getattr(value, f.name))


@dataclass(frozen=True)
class Norm:
    """LayerNorm (``centre``: the mean is subtracted first) or RMSNorm over the last axis.

    ``weight`` is the gain; RMSNorm families that store gain − 1 add the 1 when read. ``eps`` is
    added to the mean square.
    """

    weight: Tensor
    bias: Tensor | None
    eps: float
    centre: bool

    def scale(self, x: Tensor) -> Tensor:
        """1 / rms of x (of x − mean for LayerNorm), [..., 1]."""
        if self.centre:
            x = x - x.mean(-1, keepdim=True)
        return torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    def __call__(self, x: Tensor) -> Tensor:
        """The norm itself."""
        if self.centre:
            return torch.nn.functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)
        return torch.nn.functional.rms_norm(x, x.shape[-1:], self.weight, self.eps)

    def linear(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """The norm with its scale frozen (or left out): linear in x, without the bias."""
        if self.centre:
            x = x - x.mean(-1, keepdim=True)
        return (x if scale is None else x * scale) * self.weight

    def fold(self, weight: Tensor) -> Tensor:
        """Weights [d × columns] applied to the norm's output, as applied to the stream; float64."""
        read = self.weight.double()[:, None] * weight.double()
        return read - read.mean(0, keepdim=True) if self.centre else read

    def pull(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Vector-Jacobian product: the gradient by the input x from that by the output."""
        gradient = gradient * self.weight
        if self.centre:
            x = x - x.mean(-1, keepdim=True)
            gradient = gradient - gradient.mean(-1, keepdim=True)
        scale = self.scale(x)
        unit = x * scale
        return scale * (gradient - unit * (gradient * unit).mean(-1, keepdim=True))


@dataclass(frozen=True)
class Linear:
    """x @ weight + bias, with weight [inputs × outputs]."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to [..., inputs]."""
        if self.bias is None:
            return x @ self.weight
        flat = torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight)
        return flat.view(*x.shape[:-1], -1)

    def outputs(self, change: Callable[[Tensor], Tensor]) -> Linear:
        """The same with another last axis: a linear change of weight and bias."""
        return Linear(change(self.weight), None if self.bias is None else change(self.bias))


@dataclass(frozen=True)
class Attention:
    """The attention of one block.

    ``q, k, v`` are to [heads × size] and [groups × size] for k and v; ``q_norm, k_norm`` norms a
    head (Qwen3) or over all heads at once (OLMo-2); ``out`` [heads · size × width]; ``post`` the
    norm of the summed output before it joins the stream (Gemma-2); ``scale`` that of the scores;
    ``window`` the positions seen back, the own one included (None: all); ``rotary`` the index of
    the model's table for q and k (None: no rotation).
    """

    norm: Norm
    q: Linear
    k: Linear
    v: Linear
    q_norm: Norm | None
    k_norm: Norm | None
    out: Linear
    post: Norm | None
    scale: float
    window: int | None
    rotary: int | None = None


@dataclass(frozen=True)
class Mlp:
    """The MLP of one block: ``down(act(gate x) · up x)``, or ``down(act(up x))``."""

    norm: Norm
    gate: Linear | None
    up: Linear
    down: Linear
    post: Norm | None


@dataclass(frozen=True)
class Experts:
    """Many MLPs in the place of one; a router chooses some at each position.

    ``norm`` reads the stream for router [width × experts] and experts: ``gate``, ``up``
    [experts × width × hidden], ``down`` [experts × hidden × width]. A position has ``chosen``
    experts; with ``renormed`` their weights are made to sum to 1.
    """

    norm: Norm
    router: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor
    chosen: int
    renormed: bool


@dataclass(frozen=True)
class Block:
    """Attention, then MLP; in a parallel model both read the stream that enters."""

    attention: Attention
    mlp: Mlp | Experts

    @property
    def one_mlp(self) -> Mlp:
        """The MLP; ``UsageError`` where there are experts in its place."""
        if isinstance(self.mlp, Experts):
            raise UsageError(
                "a mixture of experts has no one matrix to read or write with; of such models "
                "effects, activities, circuits and patches are measured"
            )
        return self.mlp

    @property
    def experts(self) -> Experts:
        """The mixture, of a block that has one."""
        assert isinstance(self.mlp, Experts)
        return self.mlp


@dataclass(frozen=True)
class Rotary:
    """Rotary position tables.

    ``cos``, ``sin`` [positions × size] cover the first dimensions of every head; once it is known
    which rows will run, [R × positions × size] (see ``for_rows``). ``longer`` are those of rows of
    more than ``border`` tokens (LongRoPE), or None.
    """

    cos: Tensor
    sin: Tensor
    longer: tuple[Tensor, Tensor] | None = None
    border: int | None = None

    def for_rows(self, ends: Tensor) -> Rotary:
        """The tables of rows of so many tokens [R]; itself where length does not matter."""
        if self.longer is None or self.border is None:
            return self
        long = ends > self.border
        if bool(long.all()):
            return Rotary(*self.longer)
        if not bool(long.any()):
            return Rotary(self.cos, self.sin)
        chosen = long[:, None, None]
        cos, sin = (
            torch.where(chosen, b, a)
            for a, b in zip((self.cos, self.sin), self.longer, strict=True)
        )
        return Rotary(cos, sin)


@dataclass(frozen=True)
class Model:
    """One model's weights.

    Attributes
    ----------
    family : str
        transformers' ``model_type``.
    embed : [vocabulary × width]
        Token embedding, times ``embed_scale``.
    positions : [positions × width], optional
        Learnt position embedding.
    rotary : tuple of Rotary
        Every attention names its own; none with learnt positions.
    max_positions : int, optional
        Longest sequence the weights allow.
    norm, unembed
        The final norm, and [vocabulary × width].
    attention_cap, logit_cap : float, optional
        Soft caps (Gemma-2).
    parallel : bool
        An MLP reads the stream from before its own layer's attention (GPT-NeoX).
    """

    family: str
    width: int
    heads: int
    kv_heads: int
    head_size: int
    embed: Tensor
    embed_scale: float
    positions: Tensor | None
    rotary: tuple[Rotary, ...]
    max_positions: int | None
    blocks: tuple[Block, ...]
    norm: Norm
    unembed: Tensor
    activation: Callable[[Tensor], Tensor]
    attention_cap: float | None = None
    logit_cap: float | None = None
    parallel: bool = False

    @cached_property  # read for every layer of every batch
    def experts(self) -> tuple[int, ...]:
        """Experts of every block, 0 where it has an MLP; none where no block has any."""
        mlps = [block.mlp for block in self.blocks]
        counts = tuple(m.router.shape[-1] if isinstance(m, Experts) else 0 for m in mlps)
        return counts if any(counts) else ()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embed.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are kept as."""
        return self.embed.dtype

    @property
    def group(self) -> int:
        """Query heads a key/value group."""
        return self.heads // self.kv_heads

    def parts(self, name: str, heads: slice) -> slice:
        """Some query heads (``q``), or the key/value groups that they use (``k``, ``v``)."""
        if name == "q":
            return heads
        return slice(heads.start // self.group, (heads.stop - 1) // self.group + 1)

    def read_weights(self, layer: int, name: str, heads: slice) -> Tensor:
        """The columns of q, k or v that some query heads use [d × columns]."""
        linear: Linear = getattr(self.blocks[layer].attention, name)
        parts = self.parts(name, heads)
        return linear.weight[:, parts.start * self.head_size : parts.stop * self.head_size]

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def border(self) -> int | None:
        """Rows of more tokens than this are placed by other tables; None where none are."""
        borders = (table.border for table in self.rotary)
        return min((border for border in borders if border is not None), default=None)


def for_rows(model: Model, ends: Tensor) -> Model:
    """The model with the tables of rows of so many tokens [R], each as if it ran alone.

    The same model where tables do not depend on length, or are chosen already.
    """
    chosen = tuple(table.for_rows(ends) for table in model.rotary)
    if all(a is b for a, b in zip(chosen, model.rotary, strict=True)):
        return model
    return replace(model, rotary=chosen)
