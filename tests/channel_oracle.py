"""Naive channel changes: the library's modules, hooks, explicit matrices, one vector at a time.

Shares nothing with the engine but the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import EMBED, Edge, parse
from circuitgraph.prompts.tokens import Encoded


def perturbed(hf: Any, size: float, seed: int = 0, rank: int | None = None) -> Any:
    """Every parameter of a library's model moved at random (in place), or every matrix by a
    random one of low rank."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in hf.parameters():
            update = torch.randn_like(parameter)
            if rank is not None and parameter.dim() == 2:
                rows, columns = parameter.shape
                update = torch.randn(rows, rank) @ torch.randn(rank, columns) / rank**0.5
            if rank is None or parameter.dim() == 2:
                parameter.add_(size * parameter.std() * update)
    return hf


class Naive:
    """One library model: what it says where, and its weights as plain matrices."""

    def __init__(self, hf: Any) -> None:
        self.hf, self.gpt2 = hf, hasattr(hf, "transformer")
        self.inner = hf.transformer if self.gpt2 else hf.model
        self.layers = self.inner.h if self.gpt2 else self.inner.layers
        self.heads = hf.config.num_attention_heads
        self.groups = getattr(hf.config, "num_key_value_heads", None) or self.heads
        self.size = self._parts(0)["out"].shape[0] // self.heads
        self.width = hf.config.hidden_size
        self.ran: dict[tuple[int, ...], dict[Any, Tensor]] = {}

    def _matrix(self, module: Any) -> Tensor:
        """[inputs × outputs]."""
        weight = module.weight.detach().double()
        return weight if self.gpt2 else weight.T

    def _gain(self, norm: Any) -> Tensor:
        weight = norm.weight.detach().double()
        return weight + 1 if self.hf.config.model_type in ("gemma", "gemma2") else weight

    def _parts(self, layer: int) -> dict[str, Any]:
        block = self.layers[layer]
        if self.gpt2:
            q, k, v = self._matrix(block.attn.c_attn).chunk(3, 1)
            out, up = self._matrix(block.attn.c_proj), self._matrix(block.mlp.c_fc)
            read = {"q": q, "k": k, "v": v, "out": out, "in": up}
            return read | {"down": self._matrix(block.mlp.c_proj)}
        attention, mlp = block.self_attn, block.mlp
        named = {letter: getattr(attention, f"{letter}_proj") for letter in "qkvo"}
        read = {name: self._matrix(module) for name, module in named.items()}
        both = torch.cat([self._matrix(mlp.gate_proj), self._matrix(mlp.up_proj)], 1)
        return read | {"out": read["o"], "in": both, "down": self._matrix(mlp.down_proj)}

    def _norms(self, layer: int) -> dict[str, Any]:
        """The norms before attention and MLP, and those after them."""
        if layer == len(self.layers):
            return {"mlp": self.inner.ln_f if self.gpt2 else self.inner.norm}
        block = self.layers[layer]
        if self.gpt2:
            return {"attention": block.ln_1, "mlp": block.ln_2}
        if hasattr(block, "pre_feedforward_layernorm"):
            return {
                "attention": block.input_layernorm,
                "mlp": block.pre_feedforward_layernorm,
                "out": block.post_attention_layernorm,
                "down": block.post_feedforward_layernorm,
            }
        return {"attention": block.input_layernorm, "mlp": block.post_attention_layernorm}

    def rms(self, x: Tensor) -> Tensor:
        config = self.hf.config
        x = x.double()
        eps = config.layer_norm_epsilon if self.gpt2 else config.rms_norm_eps
        return ((x - x.mean() if self.gpt2 else x).square().mean() + eps).sqrt()

    @torch.no_grad()
    def run(self, tokens: Sequence[int]) -> dict[Any, Tensor]:
        """Inputs of every output matrix and norm, and the embedding, by place [T, …]."""
        key = tuple(tokens)
        if key in self.ran:
            return self.ran[key]
        kept = self.ran[key] = {}

        def keep(name: Any) -> Any:
            return lambda module, given: kept.__setitem__(name, given[0][0])

        hooks = []
        for layer in range(len(self.layers) + 1):
            for name, norm in self._norms(layer).items():
                hooks.append(norm.register_forward_pre_hook(keep((layer, name, "norm"))))
        for layer, block in enumerate(self.layers):
            attention = block.attn.c_proj if self.gpt2 else block.self_attn.o_proj
            down = block.mlp.c_proj if self.gpt2 else block.mlp.down_proj
            hooks.append(attention.register_forward_pre_hook(keep((layer, "out"))))
            hooks.append(down.register_forward_pre_hook(keep((layer, "down"))))
        self.hf(torch.tensor([list(tokens)]))
        for hook in hooks:
            hook.remove()
        kept[EMBED] = kept[0, "attention", "norm"]
        return kept

    def said(self, kept: dict[Any, Tensor], sender: str, t: int) -> Tensor:
        """Inner activation of a sender at one position, times its post-norm's 1/rms."""
        component = parse(sender)
        if sender == EMBED:
            return kept[EMBED][t].double()
        which = "down" if component.kind == "mlp" else "out"
        z = kept[component.layer, which][t].double()
        if (component.layer, which, "norm") in kept:
            z = z / self.rms(kept[component.layer, which, "norm"][t])
        if component.kind == "head":
            z = z[component.head * self.size : (component.head + 1) * self.size]
        return z

    def write(self, sender: str) -> Tensor:
        """Output matrix of a sender, post-norm gain included [k × d]."""
        component = parse(sender)
        which = "down" if component.kind == "mlp" else "out"
        weight = self._parts(component.layer)[which]
        if which in self._norms(component.layer):
            weight = weight * self._gain(self._norms(component.layer)[which])
        if component.kind == "head":
            weight = weight[component.head * self.size : (component.head + 1) * self.size]
        return weight

    def place(self, edge: Edge) -> tuple[int, str]:
        component = parse(edge.target)
        if component.kind == "logits":
            return len(self.layers), "mlp"
        return component.layer, "mlp" if component.kind == "mlp" else "attention"

    def read(self, edge: Edge) -> Tensor:
        """What a receiver reads with, gain and centring included [d × columns]."""
        component, (layer, which) = parse(edge.target), self.place(edge)
        if component.kind == "logits":
            weight = self.hf.lm_head.weight.detach().double().T
        elif component.kind == "mlp":
            weight = self._parts(layer)["in"]
        else:
            letters = "qkv" if edge.input == "all" else edge.input
            weight = torch.cat([self._columns(component, layer, x) for x in letters], 1)
        weight = self._gain(self._norms(layer)[which])[:, None] * weight
        return weight - weight.mean(0) if self.gpt2 else weight

    def _columns(self, component: Any, layer: int, letter: str) -> Tensor:
        weight = self._parts(layer)[letter]
        if component.kind == "attn":
            return weight
        index = component.head
        if component.kind == "head" and letter != "q":
            index = index // (self.heads // self.groups)
        return weight[:, index * self.size : (index + 1) * self.size]


def channel(a: Naive, b: Naive, edge: Edge, prompt: Encoded, pairs: bool) -> dict[str, float]:
    """Everything of one edge and prompt by loops over positions; squares are means."""
    runs = [(m, m.run(prompt.prompt), m.run(prompt.corrupt) if pairs else {}) for m in (a, b)]
    last = len(prompt.prompt) - 1
    partners = prompt.partners or range(last + 1)
    first = prompt.first_change if pairs else 0
    times = [t for t in range(first, last + 1) if not pairs or partners[t] >= 0]
    count = len(times)
    layer, which = a.place(edge)
    if layer == len(a.layers):
        times, count = [last], 1
    weights = _weights(a, b, edge)
    sums = dict.fromkeys(("read", "ra", "rb", "write", "wa", "wb", "both", "a", "b", "heard"), 0.0)
    for t in times:
        scale = sum(0.5 / m.rms(kept[layer, which, "norm"][t]) for m, kept, _ in runs)
        z = []
        for model, kept, other in runs:
            there = model.said(other, edge.source, partners[t]) if pairs else 0
            here = model.said(kept, edge.source, t)
            z.append(scale * (there - here if pairs else here))
        for name, value in _vectors(a, b, weights, z).items():
            sums[name] += float(value.square().sum()) / count
    assert weights[2] is not None
    assert weights[3] is not None
    change, mean = weights[3] - weights[2], (weights[2] + weights[3]) / 2
    tested, told = ("read", change) if change.any() else ("both", mean)
    loud = sums["heard"] if change.any() else sums["write"]
    return {
        "read": _part(sums, "read", "ra", "rb"),
        "write": _part(sums, "write", "wa", "wb"),
        "delta": _part(sums, "both", "a", "b"),
        "norm_a": sums["a"] ** 0.5,
        "norm_b": sums["b"] ** 0.5,
        "square": sums[tested],
        "expected": float(told.square().sum()) * loud / (a.width - a.gpt2),
    }


def _part(sums: dict[str, float], change: str, a: str, b: str) -> float:
    whole = sums[a] ** 0.5 + sums[b] ** 0.5
    return sums[change] ** 0.5 / whole if whole else 0.0


def _weights(a: Naive, b: Naive, edge: Edge) -> list[Tensor | None]:
    """Write weights of both (None for the embedding), then read weights of both."""
    writes = [None if edge.source == EMBED else m.write(edge.source) for m in (a, b)]
    return [*writes, a.read(edge), b.read(edge)]


def _vectors(
    a: Naive, b: Naive, weights: list[Tensor | None], z: list[Tensor]
) -> dict[str, Tensor]:
    def seen(x: Tensor) -> Tensor:
        return x - x.mean() if a.gpt2 else x

    write_a, write_b, read_a, read_b = weights
    if write_a is None:  # the same tokens: each model's own rows
        own, common = z, z
    else:
        own = [x @ w for x, w in zip(z, (write_a, write_b), strict=True)]
        common = [(z[0] + z[1]) / 2 @ w for w in (write_a, write_b)]
    c = (own[0] + own[1]) / 2
    return {
        "heard": seen(c),
        "ra": c @ read_a,
        "rb": c @ read_b,
        "read": c @ read_b - c @ read_a,
        "wa": seen(common[0]),
        "wb": seen(common[1]),
        "write": seen(common[1] - common[0]),
        "a": common[0] @ read_a,
        "b": common[1] @ read_b,
        "both": common[1] @ read_b - common[0] @ read_a,
    }
