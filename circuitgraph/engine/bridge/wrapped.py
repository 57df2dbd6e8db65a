"""A model under the library's bridge: its sizes, activations, contributions and decisions.

Only hooks that every attention of the library has are used: inputs of attention and MLP,
q, k and v after their projection, and each head's output before the output matrix. The
finer ones (``use_split_qkv_input``, ``use_attn_result``) are refused by families whose
attention the library runs itself, such as GPT-Neo, GPT-J and OPT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.engine.batches import Batch, gather
from circuitgraph.engine.bridge.positions import RowRotary
from circuitgraph.engine.contributions import stacked
from circuitgraph.engine.model import Norm
from circuitgraph.engine.receivers import first_components

Reading = Callable[[Tensor], Tensor]
Hook = tuple[str, Callable[[Tensor, Any], Tensor | None]]
LETTERS = "qkv"


@dataclass(frozen=True)
class Wiring:
    """How one block hangs on the residual stream.

    ``attention``, ``mlp`` are what stands between the stream and the inputs of each; ``out`` the
    output matrix by head [H, e, d], multiplier of the branch included; ``bias`` [d] what attention
    adds besides; ``post`` the norm of its output before it joins the stream.
    """

    attention: Reading
    mlp: Reading
    out: Tensor
    bias: Tensor
    post: Norm | None


@dataclass(frozen=True)
class ReadOut:
    """The way from the final stream to logits: ``factor`` · unembed · norm, without a cap."""

    norm: Norm
    unembed: Tensor
    factor: float


@dataclass(frozen=True)
class Bridge:
    """A model without a reader, under the library's hooks.

    Attributes
    ----------
    family : str
        transformers' ``model_type``.
    parallel : bool
        Attention and MLP of a block read the same stream, so that an MLP does not read its own
        layer's attention.
    parameters : int
        Number of weights a token meets.
    vocabulary : int
        Number of logits.
    read_out : ReadOut, optional
        None where logits are made in an unknown way.
    hooked : TransformerBridge
    mixed : bool
        A norm over all heads at once stands behind q or k, so that one head's input changes the
        others, too (OLMo-2).
    rotary
        Its rotary module, where long rows have other tables.
    """

    family: str
    width: int
    heads: int
    kv_heads: int
    parallel: bool
    parameters: int
    vocabulary: int
    wiring: tuple[Wiring, ...]
    read_out: ReadOut | None
    hooked: Any
    mixed: bool = False
    rotary: RowRotary | None = None

    @property
    def border(self) -> int | None:
        """See ``Model.border``."""
        return None if self.rotary is None else self.rotary.border

    @contextmanager
    def rows(self, ends: Tensor | None) -> Iterator[None]:
        """Context of runs of rows of so many tokens [R], or of copies of these rows."""
        if self.rotary is None:
            yield
            return
        self.rotary.ends = ends
        try:
            yield
        finally:
            self.rotary.ends = None

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.wiring)

    @property
    def experts(self) -> tuple[int, ...]:
        """None: mixtures are refused."""
        return ()

    @property
    def device(self) -> torch.device:
        """Where it runs: the CPU."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return torch.float32

    @property
    def group(self) -> int:
        """Query heads a key/value group."""
        return self.heads // self.kv_heads


@dataclass(frozen=True)
class BlockTrace:
    """Activations of one block: streams and branches [R, T, d], z [R, T, H, e].

    ``pre``, ``post`` are the streams that enter and leave, ``attention_in``, ``mlp_in`` the normed
    inputs; q, k, v are in the library's own shape, z before the output matrix.
    """

    pre: Tensor
    attention: Tensor
    mlp: Tensor
    attention_in: Tensor
    mlp_in: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    z: Tensor
    post: Tensor


NAMES = {
    "pre": "hook_in",
    "attention": "hook_attn_out",
    "mlp": "hook_mlp_out",
    "attention_in": "attn.hook_in",
    "mlp_in": "mlp.hook_in",
    **{letter: f"attn.hook_{letter}" for letter in LETTERS},
    "z": "attn.hook_z",
    "post": "hook_out",
}
"""Our names of what a block leaves in sight, and the library's."""


@dataclass(frozen=True)
class BridgeTrace:
    """A whole run: every block, and the logits [R, T, V]."""

    blocks: tuple[BlockTrace, ...]
    logits: Tensor

    @property
    def final(self) -> Tensor:
        """The final residual stream [R, T, d]."""
        return self.blocks[-1].post


def hook_name(layer: int, ours: str) -> str:
    """The library's name of an activation in a block."""
    return f"blocks.{layer}.{NAMES[ours]}"


@torch.no_grad()
def logits_of(hooked: Any, tokens: Tensor, hooks: Sequence[Hook] = ()) -> Tensor:
    """Logits [R, T, V] of a run under hooks; rows are padded on the right."""
    answer: Tensor = hooked.run_with_hooks(tokens, fwd_hooks=list(hooks))
    return answer


def trace_of(hooked: Any, layers: int, tokens: Tensor, hooks: Sequence[Hook] = ()) -> BridgeTrace:
    """Run, and keep every block's activations.

    ``KeyError``: a hook that this family's bridge has not, or never passes.
    """
    kept: dict[tuple[int, str], Tensor] = {}

    def keep(place: tuple[int, str]) -> Callable[[Tensor, Any], None]:
        def note(x: Tensor, hook: Any) -> None:
            kept[place] = x.detach().clone()

        return note

    places = [(layer, ours) for layer in range(layers) for ours in NAMES]
    seen: list[Hook] = [(hook_name(*place), keep(place)) for place in places]
    logits = logits_of(hooked, tokens, [*hooks, *seen])
    blocks = [BlockTrace(**{ours: kept[layer, ours] for ours in NAMES}) for layer in range(layers)]
    return BridgeTrace(tuple(blocks), logits)


def decide_logits(logits: Tensor, batch: Batch) -> Tensor:
    """Decisions [N, n] of N copies of a batch's R rows, from logits [N · R, T, V]."""
    judged = _judged(logits, batch)
    targets = batch.targets.expand(*judged.shape[:-1], -1)
    scores = judged.gather(-1, targets)
    # Where both answers are judged at one position the normaliser cancels.
    alone = batch.alone
    if bool(alone.any()):
        scores[:, alone] -= judged[:, alone].logsumexp(-1, keepdim=True)
    return batch.balance(scores)


def mass_of(logits: Tensor, batch: Batch) -> Tensor:
    """Probability of the answer plus that of the wrong answer [n], from logits [R, T, V]."""
    chosen = _judged(logits, batch).log_softmax(-1).gather(-1, batch.targets[None])
    sides = [batch.by_prompt(batch.side(chosen, s).sum(-1)) for s in (1.0, -1.0)]
    return (sides[0].exp() + sides[1].exp())[0]


def _judged(logits: Tensor, batch: Batch) -> Tensor:
    """Logits at the scored positions [N, R, K, V]."""
    rows = torch.arange(len(batch.read))[:, None]
    return logits.unflatten(0, (-1, len(batch.read)))[:, rows, batch.read]


def bridge_contributions(
    bridge: Bridge, trace: BridgeTrace, index: Tensor, granularity: Granularity
) -> Tensor:
    """As ``engine.contributions``, of a bridge's run [1 + components, R, W, d]."""
    parts = (
        part
        for wiring, block in zip(bridge.wiring, trace.blocks, strict=True)
        for part in (_attention(wiring, block, index, granularity), gather(block.mlp, index)[None])
    )
    count = first_components(bridge, granularity)[-1]
    return stacked(gather(trace.blocks[0].pre, index), count, parts)


def _attention(
    wiring: Wiring, block: BlockTrace, index: Tensor, granularity: Granularity
) -> Tensor:
    if granularity == "layer":
        return gather(block.attention, index)[None]
    by_head = torch.einsum("rwhe,hed->hrwd", gather(block.z, index), wiring.out)
    if wiring.post is None:
        return by_head
    return wiring.post.linear(by_head, wiring.post.scale(by_head.sum(0) + wiring.bias))
