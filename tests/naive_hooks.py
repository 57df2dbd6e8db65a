"""Naive edge effects by plain PyTorch hooks on the library's own modules, an edge a row.

No bridge, no engine. One prompt at a time; no row of a forward sees another. Of what q, k and v
project only the receiver's own slice is changed, and of what the heads read out only the
receiver's is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import EMBED, LOGITS, Component, Edge, parse
from circuitgraph.prompts.tokens import Encoded


@dataclass(frozen=True)
class Places:
    """Where a family keeps what the hooks need.

    ``parallel`` blocks have an MLP that reads what attention reads; ``post`` are the norms after
    the branches; where no norm is named before a branch, it reads the stream as it is.
    """

    blocks: str
    attention_norm: str | None
    attention: str
    mlp_norm: str | None
    mlp_in: str
    mlp_out: str
    final_norm: str
    parallel: bool = False
    post: tuple[str, str] | None = None


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
_GEMMA = replace(
    _LLAMA,
    mlp_norm="pre_feedforward_layernorm",
    post=("post_attention_layernorm", "post_feedforward_layernorm"),
)
_OLMO = replace(_GEMMA, attention_norm=None, mlp_norm=None)
_NEOX = Places(
    "gpt_neox.layers",
    "input_layernorm",
    "attention",
    "post_attention_layernorm",
    "mlp",
    "mlp",
    "gpt_neox.final_layer_norm",
    True,
)
EVERY = PLACES | {
    **dict.fromkeys(("llama", "phi3", "smollm3", "granite"), _LLAMA),
    **dict.fromkeys(("mixtral", "olmoe", "qwen3_moe"), _LLAMA),
    "gemma3_text": _GEMMA,
    "olmo2": _OLMO,
    "olmo3": _OLMO,
    "gpt_neox": _NEOX,
}
"""Also families that other tests hold against plain hooks."""


def place_of(hf: Any) -> Places:
    """Of a model; GPT-NeoX's blocks need not be parallel."""
    place = EVERY[hf.config.model_type]
    return replace(place, parallel=getattr(hf.config, "use_parallel_residual", place.parallel))


@dataclass(frozen=True)
class Block:
    """One block of one run: the stream before it [T, d], z [T, H · e], attention before its
    post-norm, what each part adds, and what the experts of a mixture are given."""

    pre: Tensor
    z: Tensor
    raw: Tensor
    attention: Tensor
    mlp: Tensor
    routed: tuple[Tensor, ...] | None = None


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
        deltas = {
            source: sent(hf, corrupt, source) - sent(hf, clean, source)
            for source in {edge.source for edge in edges}
        }
        for delta in deltas.values():
            delta[end:] = 0
        changed = [changes(hf, clean, edge, deltas[edge.source]) for edge in edges]
        for i, patched in enumerate(logits(hf, prompt.prompt + shown, changed)):
            for answer, sign in judged:
                found[i] += sign * (log_prob(patched, answer, end) - log_prob(base, answer, end))
    return found


def log_prob(scores: Tensor, answer: tuple[int, ...], end: int) -> Tensor:
    """Summed log-probability of an answer's tokens, from logits [T, V]."""
    steps = range(end - 1, end - 1 + len(answer))
    return scores.double().log_softmax(-1)[list(steps), list(answer)].sum()


Change = tuple[Any, str, Callable[[Tensor], Tensor]]
"""A module, whether its input (``in``) or output (``out``) is changed, and how."""


def logits(hf: Any, tokens: tuple[int, ...], changed: list[list[Change]]) -> Tensor:
    """[rows, T, V]: in row i inputs or outputs of some modules are changed as its list says."""
    by_place: dict[tuple[Any, str], list[tuple[int, Callable[[Tensor], Tensor]]]] = {}
    for row, own in enumerate(changed):
        for module, side, change in own:
            by_place.setdefault((module, side), []).append((row, change))
    with ExitStack() as stack:
        for (module, side), some in by_place.items():
            stack.callback(_put(module, side, _in_rows(some, len(changed))).remove)
        return hf(torch.tensor([tokens] * len(changed)), use_cache=False).logits


def _in_rows(
    some: list[tuple[int, Callable[[Tensor], Tensor]]], count: int
) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        rows = list(x.reshape(count, -1, x.shape[-1]).split(1))
        for row, own in some:
            rows[row] = own(rows[row])
        return torch.cat(rows).view(x.shape)

    return change


@torch.no_grad()
def run(hf: Any, tokens: tuple[int, ...], *changed: Change) -> tuple[list[Block], Tensor]:
    """Every block and the logits [T, V], with inputs or outputs of some modules changed."""
    place, notes, given = place_of(hf), {}, {}
    with ExitStack() as stack:
        for module, side, change in changed:
            stack.callback(_put(module, side, change).remove)
        for i, block in enumerate(blocks(hf)):
            out = out_proj(block, place)
            after = (out, attrgetter(place.mlp_out)(block))
            if place.post is not None:
                after = tuple(getattr(block, name) for name in place.post)
            seen = {
                "pre": (block, "in"),
                "z": (out, "in"),
                "raw": (out, "out"),
                "attention": (after[0], "out"),
                "mlp": (after[1], "out"),
            }
            for name, (module, side) in seen.items():
                stack.callback(_note(module, side, notes, (i, name)).remove)
            if hasattr(block, "mlp") and hasattr(block.mlp, "experts"):
                stack.callback(_note_all(block.mlp.experts, given, i).remove)
        scores = hf(torch.tensor([tokens])).logits[0]
    factor = getattr(hf.config, "residual_multiplier", 1.0)
    for (_, name), value in notes.items():
        if name in ("attention", "mlp"):
            value.mul_(factor)
    names = ("pre", "z", "raw", "attention", "mlp")
    found = [Block(*(notes[i, n] for n in names), given.get(i)) for i in range(len(blocks(hf)))]
    return found, scores


def _put(module: Any, side: str, change: Callable[[Tensor], Tensor]) -> Any:
    if side == "in":
        return module.register_forward_pre_hook(lambda m, args: (change(args[0]), *args[1:]))
    return module.register_forward_hook(lambda m, args, out: change(out))


def _note(module: Any, side: str, notes: dict, key: tuple) -> Any:
    def keep(x: Tensor) -> None:
        notes[key] = x.reshape(-1, x.shape[-1]).clone()

    if side == "in":
        return module.register_forward_pre_hook(lambda m, args: keep(args[0]))
    return module.register_forward_hook(lambda m, args, out: keep(out))


def _note_all(module: Any, given: dict, key: int) -> Any:
    def keep(m: Any, args: tuple) -> None:
        given[key] = tuple(x.clone() for x in args)

    return module.register_forward_pre_hook(keep)


def one_expert(experts: Any, number: int, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """What one expert of the library's module adds [T, d], at its weights of those given."""
    return experts(x, chosen, weights * (chosen == number))


def blocks(hf: Any) -> Any:
    """The blocks of a model."""
    return attrgetter(EVERY[hf.config.model_type].blocks)(hf)


def out_proj(block: Any, place: Places) -> Any:
    """The output matrix of a block's attention."""
    attention = attrgetter(place.attention)(block)
    names = ("o_proj", "out_proj", "dense")
    return next(getattr(attention, name) for name in names if hasattr(attention, name))


def sent(hf: Any, seen: list[Block], name: str) -> Tensor:
    """What a component adds to the stream [T, d]."""
    if name == EMBED:
        return seen[0].pre.clone()
    component, place = parse(name), place_of(hf)
    block, module = seen[component.layer], blocks(hf)[component.layer]
    if component.kind == "expert":
        return one_expert(module.mlp.experts, component.head, *block.routed)
    if component.kind != "head":
        return (block.mlp if component.kind == "mlp" else block.attention).clone()
    weight, mine = out_proj(module, place).weight, slice_of(hf, component.head)
    said = block.z[:, mine] @ weight[:, mine].T * getattr(hf.config, "residual_multiplier", 1.0)
    if place.post is None:
        return said
    norm = getattr(module, place.post[0])
    eps = norm.eps if hasattr(norm, "eps") else norm.variance_epsilon
    gain = norm.weight + 1 if "Gemma" in type(norm).__name__ else norm.weight
    return said * torch.rsqrt(block.raw.pow(2).mean(-1, keepdim=True) + eps) * gain


def head_size(hf: Any) -> int:
    """Of every head."""
    config = hf.config
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def slice_of(hf: Any, head: int) -> slice:
    """Where a head's values lie in z, or in a projection of its own."""
    return slice(head * head_size(hf), (head + 1) * head_size(hf))


def projection(hf: Any, attention: Any, letter: str, head: int) -> tuple[Any, slice]:
    """The module that makes q of a head (k, v of a group), and where in its output they lie."""
    mine, size = slice_of(hf, head), head_size(hf)
    if hasattr(attention, "query_key_value"):  # of every head q, k and v side by side
        begin = (3 * head + "qkv".index(letter)) * size
        return attention.query_key_value, slice(begin, begin + size)
    if hasattr(attention, "qkv_proj"):  # q of all heads, then k and v of all groups
        counts = (0, hf.config.num_attention_heads, groups_of(hf))
        begin = sum(counts[: "qkv".index(letter) + 1]) * size
        return attention.qkv_proj, slice(begin + mine.start, begin + mine.stop)
    return getattr(attention, f"{letter}_proj"), mine


def groups_of(hf: Any) -> int:
    """Number of key/value groups."""
    return getattr(hf.config, "num_key_value_heads", None) or hf.config.num_attention_heads


def normed(block: Any, name: str | None, x: Tensor) -> Tensor:
    """x through a norm of a block, if it has one."""
    return x if name is None else getattr(block, name)(x)


def changes(hf: Any, clean: list[Block], edge: Edge, delta: Tensor) -> list[Change]:
    """Modules that an edge changes, and how."""
    place, target = place_of(hf), parse(edge.target)
    if edge.target == LOGITS:
        return [(attrgetter(place.final_norm)(hf), "in", lambda x: x + delta)]
    block, seen = blocks(hf)[target.layer], clean[target.layer]
    if target.kind in ("mlp", "router", "expert"):
        stream = seen.pre if place.parallel else seen.pre + seen.attention
        read = normed(block, place.mlp_norm, stream + delta)
        if target.kind == "expert":
            experts, (before, *routes) = block.mlp.experts, seen.routed
            pair = [one_expert(experts, target.head, x, *routes) for x in (before, read)]
            return [(experts, "out", lambda out: out + pair[1] - pair[0])]
        reader = block.mlp.gate if target.kind == "router" else attrgetter(place.mlp_in)(block)
        return [(reader, "in", lambda x: read.view(x.shape))]
    heads = heads_of(hf, target)
    found = projections(
        hf, block, heads, edge, normed(block, place.attention_norm, seen.pre + delta)
    )

    def only(z: Tensor) -> Tensor:
        kept = seen.z.view(z.shape).clone()
        for mine in (slice_of(hf, head) for head in heads):
            kept[..., mine] = z[..., mine]
        return kept

    return [*found, (out_proj(block, place), "in", only)]


def heads_of(hf: Any, target: Component) -> range:
    """The query heads that a receiver writes through."""
    group = hf.config.num_attention_heads // groups_of(hf)
    if target.kind == "kv":
        return range(target.head * group, (target.head + 1) * group)
    if target.kind == "head":
        return range(target.head, target.head + 1)
    return range(hf.config.num_attention_heads)


def projections(hf: Any, block: Any, heads: range, edge: Edge, read: Tensor) -> list[Change]:
    """q of some heads, k and v of their groups, made of what is read instead [T, d]."""
    attention = attrgetter(place_of(hf).attention)(block)
    group = hf.config.num_attention_heads // groups_of(hf)
    found = []
    for letter in "qkv" if edge.input == "all" else edge.input:
        for head in heads if letter == "q" else sorted({head // group for head in heads}):
            module, mine = projection(hf, attention, letter, head)
            made = torch.nn.functional.linear(read, module.weight, module.bias)

            def slot(out: Tensor, made: Tensor = made, mine: slice = mine) -> Tensor:
                out = out.clone()
                out[..., mine] = made.view(out.shape)[..., mine]
                return out

            found.append((module, "out", slot))
    return found
