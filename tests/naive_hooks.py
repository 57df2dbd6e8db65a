"""Naive edge effects by plain PyTorch hooks on the library's own modules, an edge a forward.

No bridge, no engine: for decoders with separate q, k and v. One prompt at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import EMBED, LOGITS, Edge, parse
from circuitgraph.prompts.tokens import Encoded


@dataclass(frozen=True)
class Places:
    """Where a family keeps what the hooks need; ``parallel`` blocks have one norm."""

    blocks: str
    attention_norm: str
    attention: str
    mlp_norm: str
    mlp_in: str
    mlp_out: str
    final_norm: str
    parallel: bool = False


PLACES = {
    "opt": Places(
        "model.decoder.layers",
        "self_attn_layer_norm",
        "self_attn",
        "final_layer_norm",
        "fc1",
        "fc2",
        "model.decoder.final_layer_norm",
    ),
    "gpt_neo": Places(
        "transformer.h", "ln_1", "attn.attention", "ln_2", "mlp.c_fc", "mlp.c_proj",
        "transformer.ln_f",
    ),
    "gptj": Places(
        "transformer.h", "ln_1", "attn", "ln_1", "mlp.fc_in", "mlp.fc_out", "transformer.ln_f", True
    ),
}  # fmt: skip
_LLAMA = Places(
    "model.layers",
    "input_layernorm",
    "self_attn",
    "post_attention_layernorm",
    "mlp",
    "mlp",
    "model.norm",
)
EVERY = PLACES | {"llama": _LLAMA, "phi3": _LLAMA}
"""Also families that other tests hold against plain hooks."""


@dataclass(frozen=True)
class Block:
    """One block of one run: the stream before it [T, d], z [T, H · e], what each part adds."""

    pre: Tensor
    z: Tensor
    attention: Tensor
    mlp: Tensor


@torch.no_grad()
def effects(hf: Any, prompt: Encoded, edges: list[Edge]) -> Tensor:
    """Raw effect of each edge for one prompt [edges]."""
    end, found = len(prompt.prompt), torch.zeros(len(edges), dtype=torch.float64)
    signed = ((prompt.answer, 1.0), (prompt.wrong_answer, -1.0))
    for shown in {answer[:-1] for answer, _ in signed}:  # what stands before the last judged
        assert prompt.corrupt is not None
        clean, base = run(hf, prompt.prompt + shown)
        corrupt, _ = run(hf, prompt.corrupt + shown)
        judged = [(answer, sign) for answer, sign in signed if answer[:-1] == shown]
        for i, edge in enumerate(edges):
            delta = sent(hf, corrupt, edge.source) - sent(hf, clean, edge.source)
            delta[end:] = 0
            _, patched = run(hf, prompt.prompt + shown, *changes(hf, clean, edge, delta))
            for answer, sign in judged:
                found[i] += sign * (log_prob(patched, answer, end) - log_prob(base, answer, end))
    return found


def log_prob(scores: Tensor, answer: tuple[int, ...], end: int) -> Tensor:
    """Summed log-probability of an answer's tokens, from logits [T, V]."""
    steps = range(end - 1, end - 1 + len(answer))
    return scores.double().log_softmax(-1)[list(steps), list(answer)].sum()


Change = tuple[Any, Callable[[Tensor], Tensor]]


@torch.no_grad()
def run(hf: Any, tokens: tuple[int, ...], *changed: Change) -> tuple[list[Block], Tensor]:
    """Every block and the logits [T, V], with some modules' inputs changed."""
    place, notes = EVERY[hf.config.model_type], {}
    with ExitStack() as stack:
        for module, change in changed:
            hook = lambda m, args, change=change: (change(args[0]), *args[1:])  # noqa: E731
            stack.callback(module.register_forward_pre_hook(hook).remove)
        for i, block in enumerate(blocks(hf)):
            seen = {
                "pre": (block, "in"),
                "z": (out_proj(block, place), "in"),
                "attention": (out_proj(block, place), "out"),
                "mlp": (attrgetter(place.mlp_out)(block), "out"),
            }
            for name, (module, side) in seen.items():
                stack.callback(_note(module, side, notes, (i, name)).remove)
        scores = hf(torch.tensor([tokens])).logits[0]
    names = ("pre", "z", "attention", "mlp")
    return [Block(*(notes[i, n] for n in names)) for i in range(len(blocks(hf)))], scores


def _note(module: Any, side: str, notes: dict, key: tuple) -> Any:
    def keep(x: Tensor) -> None:
        notes[key] = x.reshape(-1, x.shape[-1]).clone()

    if side == "in":
        return module.register_forward_pre_hook(lambda m, args: keep(args[0]))
    return module.register_forward_hook(lambda m, args, out: keep(out))


def blocks(hf: Any) -> Any:
    """The blocks of a model."""
    return attrgetter(EVERY[hf.config.model_type].blocks)(hf)


def out_proj(block: Any, place: Places) -> Any:
    """The output matrix of a block's attention."""
    attention = attrgetter(place.attention)(block)
    return getattr(attention, "o_proj", None) or attention.out_proj


def sent(hf: Any, seen: list[Block], name: str) -> Tensor:
    """What a component adds to the stream [T, d]."""
    if name == EMBED:
        return seen[0].pre.clone()
    component = parse(name)
    block = seen[component.layer]
    if component.kind != "head":
        return (block.mlp if component.kind == "mlp" else block.attention).clone()
    weight = out_proj(blocks(hf)[component.layer], EVERY[hf.config.model_type]).weight
    mine = head_slice(hf, component.head)
    return block.z[:, mine] @ weight[:, mine].T


def head_slice(hf: Any, head: int) -> slice:
    """Where a head's values lie in z."""
    size = hf.config.hidden_size // hf.config.num_attention_heads
    return slice(head * size, (head + 1) * size)


def changes(hf: Any, clean: list[Block], edge: Edge, delta: Tensor) -> list[Change]:
    """Modules whose inputs an edge changes, and how."""
    place, target = EVERY[hf.config.model_type], parse(edge.target)
    if edge.target == LOGITS:
        return [(attrgetter(place.final_norm)(hf), lambda x: x + delta)]
    block, seen = blocks(hf)[target.layer], clean[target.layer]
    if target.kind == "mlp":
        stream = seen.pre if place.parallel else seen.pre + seen.attention
        read = attrgetter(place.mlp_norm)(block)(stream + delta)
        return [(attrgetter(place.mlp_in)(block), lambda x: read.view(x.shape))]
    attention = attrgetter(place.attention)(block)
    read = attrgetter(place.attention_norm)(block)(seen.pre + delta)
    letters = "qkv" if edge.input == "all" else edge.input
    names = ("qkv",) if hasattr(attention, "qkv_proj") else letters
    found = [(getattr(attention, f"{a}_proj"), lambda x: read.view(x.shape)) for a in names]
    if target.kind == "attn":
        return found

    def only(z: Tensor) -> Tensor:
        mine, kept = head_slice(hf, target.head), seen.z.view(z.shape).clone()
        kept[..., mine] = z[..., mine]
        return kept

    return [*found, (out_proj(block, place), only)]
