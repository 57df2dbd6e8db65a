"""Naive values of swapped factors: hooks on the library's own modules, a forward a value.

One prompt at a time, no padding, float64, nothing shared with the engine but names. The later
model runs with its residual stream, and what the receiver's first matrices give, put in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import EMBED, LOGITS, Component, Edge, parse
from circuitgraph.prompts.tokens import Encoded


@dataclass(frozen=True)
class Names:
    """Where a family keeps what the hooks need; ``post`` are the norms after the branches."""

    blocks: Callable[[Any], Any]
    attention: str
    out: str
    mlp: str
    first: tuple[str, ...]
    down: str
    norms: tuple[str, str]
    post: tuple[str, str] | None
    final: Callable[[Any], Any]
    parallel: bool = False


LLAMA = Names(
    lambda hf: hf.model.layers, "self_attn", "o_proj", "mlp", ("gate_proj", "up_proj"),
    "down_proj", ("input_layernorm", "post_attention_layernorm"), None, lambda hf: hf.model.norm,
)  # fmt: skip
GEMMA2 = Names(
    lambda hf: hf.model.layers, "self_attn", "o_proj", "mlp", ("gate_proj", "up_proj"),
    "down_proj", ("input_layernorm", "pre_feedforward_layernorm"),
    ("post_attention_layernorm", "post_feedforward_layernorm"), lambda hf: hf.model.norm,
)  # fmt: skip
GPT2 = Names(
    lambda hf: hf.transformer.h, "attn", "c_proj", "mlp", ("c_fc",), "c_proj", ("ln_1", "ln_2"),
    None, lambda hf: hf.transformer.ln_f,
)  # fmt: skip
NEOX = Names(
    lambda hf: hf.gpt_neox.layers, "attention", "dense", "mlp", ("dense_h_to_4h",),
    "dense_4h_to_h", ("input_layernorm", "post_attention_layernorm"), None,
    lambda hf: hf.gpt_neox.final_layer_norm, True,
)  # fmt: skip
MLPS = ("mlp", "router", "expert")
BY_FAMILY = {"gpt_neox": NEOX, "gpt2": GPT2, "gemma2": GEMMA2, "gemma3_text": GEMMA2}


def names_of(hf: Any) -> Names:
    return BY_FAMILY.get(hf.config.model_type, LLAMA)


@torch.no_grad()
def values(models: tuple[Any, Any], prompt: Encoded, edge: Edge) -> Tensor:
    """v(u, e, d) of one edge and prompt, [2, 2, 2]."""
    found = torch.zeros(2, 2, 2, dtype=torch.float64)
    for shown in {answer[:-1] for answer in (prompt.answer, prompt.wrong_answer)}:
        seen = [see(hf, prompt.prompt + shown) for hf in models]
        other = [see(hf, prompt.corrupt + shown) for hf in models]
        for u in (0, 1):
            own = written(models[u], seen[u], edge.source)
            for e in (0, 1):
                clean = written(models[e], seen[u], edge.source)
                patched = patch(prompt, clean, written(models[e], other[u], edge.source))
                for d in (0, 1):
                    x = entering(models[u], seen[u], edge.target)
                    for y, sign in ((patched, 1), (clean, -1)):
                        logits = run(models[e], models[d], seen[d], x, x - own, y, edge)
                        found[u, e, d] += sign * decision(logits, prompt, shown)
    return found


def patch(prompt: Encoded, clean: Tensor, corrupt: Tensor) -> Tensor:
    """A contribution [T, d] with the corrupt run's where a position has a partner."""
    out = clean.clone()
    for position, partner in enumerate(prompt.partners or range(len(prompt.prompt))):
        if partner >= 0:
            out[position] = corrupt[partner]
    return out


def decision(logits: Tensor, prompt: Encoded, shown: tuple[int, ...]) -> float:
    total, end = 0.0, len(prompt.prompt)
    for answer, sign in ((prompt.answer, 1), (prompt.wrong_answer, -1)):
        if answer[:-1] == shown:
            told = logits.log_softmax(-1)
            total += sign * sum(float(told[end - 1 + i, t]) for i, t in enumerate(answer))
    return total


@dataclass(frozen=True)
class Seen:
    """One run: tokens, and [T, …] by name of what went into and came out of modules."""

    tokens: tuple[int, ...]
    kept: dict[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.kept[name]


def see(hf: Any, tokens: tuple[int, ...], *hooks: Any) -> Seen:
    kept: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name, module in watched(hf):

            def note(m: Any, args: tuple, out: Any, name: str = name) -> None:
                kept[f"{name} in"], kept[f"{name} out"] = args[0][0].clone(), out[0].clone()

            stack.callback(module.register_forward_hook(note).remove)
        for i, block in enumerate(names_of(hf).blocks(hf)):
            if hasattr(block.mlp, "experts"):
                stack.callback(note_experts(block.mlp.experts, kept, i).remove)
        hf(torch.tensor([tokens]))
    return Seen(tokens, kept)


def note_experts(experts: Any, kept: dict[str, Tensor], layer: int) -> Any:
    """Keeps what every expert holds before its last matrix, times its weight [E, T, f]."""

    def note(m: Any, args: tuple) -> None:
        x, chosen, weights = args
        for number in range(m.num_experts):
            gate, up = (x @ m.gate_up_proj[number].T).chunk(2, -1)
            share = (weights * (chosen == number)).sum(-1, keepdim=True)
            kept[f"{layer} expert {number}"] = m.act_fn(gate) * up * share
            kept[f"{layer} share {number}"] = share

    return experts.register_forward_pre_hook(note)


def watched(hf: Any) -> Iterator[tuple[str, Any]]:
    n = names_of(hf)
    for i, block in enumerate(n.blocks(hf)):
        yield f"{i} pre", getattr(block, n.norms[0])
        yield f"{i} mid", getattr(block, n.norms[1])
        yield f"{i} out", getattr(getattr(block, n.attention), n.out)
        if hasattr(getattr(block, n.mlp), n.down):
            yield f"{i} down", getattr(getattr(block, n.mlp), n.down)
    yield "final", n.final(hf)


def entering(hf: Any, seen: Seen, target: str) -> Tensor:
    if target == LOGITS:
        return seen["final in"]
    t = parse(target)
    return seen[f"{t.layer} {'mid' if t.kind in MLPS else 'pre'} in"]


def written(hf: Any, seen: Seen, source: str) -> Tensor:
    """What a sender adds [T, d] by the weights of ``hf``, heard in any run."""
    n = names_of(hf)
    if source == EMBED:
        tokens = torch.tensor(seen.tokens)
        if hf.config.model_type == "gpt2":
            return hf.transformer.wte(tokens) + hf.transformer.wpe(torch.arange(len(tokens)))
        scale = (
            hf.config.hidden_size**0.5 if hf.config.model_type in ("gemma2", "gemma3_text") else 1.0
        )
        return hf.get_input_embeddings().weight[tokens] * scale
    s = parse(source)
    block = n.blocks(hf)[s.layer]
    if s.kind == "expert":
        return seen[f"{s.layer} expert {s.head}"] @ block.mlp.experts.down_proj[s.head].T
    if s.kind == "mlp":
        added = getattr(getattr(block, n.mlp), n.down)(seen[f"{s.layer} down in"][None])[0]
        return added if n.post is None else getattr(block, n.post[1])(added)
    module, z = getattr(getattr(block, n.attention), n.out), seen[f"{s.layer} out in"]
    if s.kind == "attn":
        added = module(z[None])[0]
        return added if n.post is None else getattr(block, n.post[0])(added)
    mine = torch.zeros_like(z)
    cut = slice(s.head * size(hf), (s.head + 1) * size(hf))
    mine[:, cut] = z[:, cut]
    weight = module.weight if hf.config.model_type == "gpt2" else module.weight.T
    added = mine @ weight
    if n.post is None:
        return added
    raw = seen[f"{s.layer} out out"]  # of the run that is heard
    norm = getattr(block, n.post[0])
    return added / (raw.square().mean(-1, keepdim=True) + norm.eps).sqrt() * gain(norm)


def size(hf: Any) -> int:
    config = hf.config
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def gain(norm: Any) -> Tensor:
    return 1 + norm.weight if "Gemma" in type(norm).__name__ else norm.weight


def mixed(edge_norm: Any, own_norm: Any, edge: Any, own: Any, x: Tensor, y: Tensor) -> Tensor:
    """A linear module's output [T, k]: others x by ``own``, the sender y by ``edge``."""

    def weight(module: Any) -> Tensor:
        return module.weight if type(module).__name__ == "Conv1D" else module.weight.T

    layer_norm = isinstance(own_norm, torch.nn.LayerNorm)
    eps = own_norm.eps if hasattr(own_norm, "eps") else own_norm.variance_epsilon
    rows = []
    for one, two in zip(x, y, strict=True):
        if layer_norm:
            one, two = one - one.mean(), two - two.mean()
        rms = ((one + two).square().mean() + eps).sqrt()
        row = (one * gain(own_norm) / rms) @ weight(own) + (two * gain(edge_norm) / rms) @ weight(
            edge
        )
        if layer_norm:
            row = row + own_norm.bias @ weight(own)
        rows.append(row if own.bias is None else row + own.bias)
    return torch.stack(rows)


def run(
    edge_hf: Any, hf: Any, seen: Seen, x: Tensor, others: Tensor, y: Tensor, edge: Edge
) -> Tensor:
    """Logits [T, V] of ``hf`` from residual x on, its receiver hearing others and y."""
    n, tokens = names_of(hf), torch.tensor([seen.tokens])
    target = parse(edge.target)
    with ExitStack() as stack:

        def put(module: Any, change: Callable[[Tensor], Tensor]) -> None:
            hook = module.register_forward_hook(lambda m, args, out: change(out))
            stack.callback(hook.remove)

        if edge.target == LOGITS:
            ends = edge_hf.get_output_embeddings(), hf.get_output_embeddings()
            logits = mixed(n.final(edge_hf), n.final(hf), *ends, others, y)
            put(ends[1], lambda out: logits[None])
            return hf(tokens).logits[0]
        block, edge_block = n.blocks(hf)[target.layer], n.blocks(edge_hf)[target.layer]
        stack.callback(start(block, x))
        pair = edge_block, block
        if target.kind in MLPS:
            if not n.parallel:  # x stands behind attention already
                put(getattr(getattr(block, n.attention), n.out), torch.zeros_like)
            norms = (getattr(b, n.norms[1]) for b in pair)
            edge_norm, own_norm = norms
            if target.kind != "mlp":
                mixtures = edge_block.mlp, block.mlp
                norms = edge_norm, own_norm
                module, change = in_mixture(stack, target, mixtures, norms, others, y)
                put(module, change)
                return hf(tokens).logits[0]
            for name in n.first:
                lent, own = (getattr(getattr(b, n.mlp), name) for b in pair)
                y_out = mixed(edge_norm, own_norm, lent, own, others, y)
                put(own, lambda out, y_out=y_out: y_out[None])
            return hf(tokens).logits[0]
        module = getattr(getattr(block, n.attention), n.out)
        plain = listened(hf, tokens, module)
        for name, cut, y_out in read(edge_hf, hf, n, pair, others, y, edge):
            put(getattr(getattr(block, n.attention), name), replacing(cut, y_out))
        if target.kind == "head":
            only = slice(target.head * size(hf), (target.head + 1) * size(hf))
            keep = module.register_forward_pre_hook(lambda m, args: (merged(plain, args[0], only),))
            stack.callback(keep.remove)
        return hf(tokens).logits[0]


def in_mixture(
    stack: ExitStack, target: Component, mlps: Any, norms: Any, others: Tensor, y: Tensor
) -> tuple[Any, Callable[[Any], Any]]:
    """The module of a block of experts that a router, or one expert, changes, and how."""
    own = mlps[1]
    if target.kind == "router":
        gates = (SimpleNamespace(weight=mlp.gate.weight, bias=None) for mlp in mlps)
        scores = mixed(*norms, *gates, others, y)
        top, chosen = scores.softmax(-1).topk(own.gate.top_k, -1)
        if getattr(own.gate, "norm_topk_prob", True):
            top = top / top.sum(-1, keepdim=True)
        return own.gate, lambda out: (scores, top, chosen)
    number = target.head
    first = (SimpleNamespace(weight=m.experts.gate_up_proj[number], bias=None) for m in mlps)
    gate, up = mixed(*norms, *first, others, y).chunk(2, -1)
    told: dict[str, Tensor] = {}
    stack.callback(note_experts(own.experts, told, 0).remove)
    down = own.experts.down_proj[number].T

    def change(out: Tensor) -> Tensor:
        held = own.experts.act_fn(gate) * up * told[f"0 share {number}"]
        return out + (held - told[f"0 expert {number}"]) @ down

    return own.experts, change


def start(block: Any, x: Tensor) -> Callable[[], None]:
    return block.register_forward_pre_hook(
        lambda m, args, kwargs: ((x[None], *args[1:]), kwargs), with_kwargs=True
    ).remove


def listened(hf: Any, tokens: Tensor, module: Any) -> Tensor:
    heard = []
    hook = module.register_forward_pre_hook(lambda m, args: heard.append(args[0].clone()))
    hf(tokens)
    hook.remove()
    return heard[0]


def merged(plain: Tensor, z: Tensor, only: slice) -> Tensor:
    out = plain.clone()
    out[..., only] = z[..., only]
    return out


def replacing(cut: slice, given: Tensor) -> Callable[[Tensor], Tensor]:
    def change(out: Tensor) -> Tensor:
        out = out.clone()
        out[..., cut] = given[..., cut]
        return out

    return change


def read(
    edge_hf: Any, hf: Any, n: Names, pair: tuple[Any, Any], others: Tensor, y: Tensor, edge: Edge
) -> Iterator[tuple[str, slice, Tensor]]:
    """Module, columns and output of every first matrix the receiver reads through."""
    target, config, e = parse(edge.target), hf.config, size(hf)
    edge_norm, own_norm = (getattr(b, n.norms[0]) for b in pair)
    groups = getattr(config, "num_key_value_heads", config.num_attention_heads)
    for letter in "qkv" if edge.input == "all" else edge.input:
        count = config.num_attention_heads if letter == "q" else groups
        first, last = 0, count
        if target.kind != "attn":
            group = config.num_attention_heads // groups
            first = target.head if letter == "q" or target.kind == "kv" else target.head // group
            last = first + 1
        offset, name = 0, f"{letter}_proj"
        if config.model_type == "gpt_neox":
            name = "query_key_value"
            lent, own = (getattr(getattr(b, n.attention), name) for b in pair)
            y_out = mixed(edge_norm, own_norm, lent, own, others, y)
            for head in range(first, last):
                begin = (3 * head + "qkv".index(letter)) * e
                yield name, slice(begin, begin + e), y_out
            continue
        if config.model_type == "gpt2":
            offset, name = "qkv".index(letter) * config.hidden_size, "c_attn"
        lent, own = (getattr(getattr(b, n.attention), name) for b in pair)
        y_out = mixed(edge_norm, own_norm, lent, own, others, y)
        yield name, slice(offset + first * e, offset + last * e), y_out
