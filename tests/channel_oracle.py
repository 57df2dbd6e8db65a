"""Naive channel changes: the library's modules, hooks, explicit matrices, one vector at a time.

Shares nothing with the engine but the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plain_weights
import torch
from naive_hooks import groups_of
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
        self.hf, self.centred = hf, plain_weights.centred(hf)
        self.layers = plain_weights.layers_of(hf)
        self.heads, self.groups = hf.config.num_attention_heads, groups_of(hf)
        self.parts = [plain_weights.parts(hf, layer) for layer in range(len(self.layers))]
        self.size = self.parts[0]["out"].shape[0] // self.heads
        self.width = hf.config.hidden_size
        self.ran: dict[tuple[int, ...], dict[Any, Tensor]] = {}

    def _norms(self, layer: int) -> dict[str, Any]:
        """The norms before attention and MLP, and those after them."""
        if layer == len(self.layers):
            return {"mlp": plain_weights.final_norm(self.hf)}
        return plain_weights.norms(self.hf, layer)

    def rms(self, x: Tensor, layer: int, which: str) -> Tensor:
        return plain_weights.rms(self._norms(layer)[which], x)

    def _norm_of(self, layer: int, name: str) -> Any:
        """The module whose input a norm reads, or would."""
        if (norm := self._norms(layer)[name]) is not None:
            return norm
        return self.layers[layer] if name == "attention" else self.layers[layer].mlp

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
            for name in self._norms(layer):
                module = self._norm_of(layer, name)
                hooks.append(module.register_forward_pre_hook(keep((layer, name, "norm"))))
        for layer in range(len(self.layers)):
            for name, module in plain_weights.writing(self.hf, layer).items():
                hooks.append(module.register_forward_pre_hook(keep((layer, name))))
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
            z = z / self.rms(kept[component.layer, which, "norm"][t], component.layer, which)
        if component.kind == "head":
            z = z[component.head * self.size : (component.head + 1) * self.size]
        return z

    def write(self, sender: str) -> Tensor:
        """Output matrix of a sender, post-norm gain included [k × d]."""
        component = parse(sender)
        which = "down" if component.kind == "mlp" else "out"
        weight = self.parts[component.layer][which]
        if which in self._norms(component.layer):
            weight = weight * plain_weights.gain(self._norms(component.layer)[which])
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
            weight = plain_weights.matrix(self.hf.get_output_embeddings())
            weight = weight / getattr(self.hf.config, "logits_scaling", 1.0)
        elif component.kind == "mlp":
            weight = self.parts[layer]["in"]
        else:
            letters = "qkv" if edge.input == "all" else edge.input
            weight = torch.cat([self._columns(component, layer, x) for x in letters], 1)
        gain = torch.as_tensor(plain_weights.gain(self._norms(layer)[which]))
        weight = (gain[:, None] if gain.dim() else gain) * weight
        return weight - weight.mean(0) if self.centred else weight

    def _columns(self, component: Any, layer: int, letter: str) -> Tensor:
        weight = self.parts[layer][letter]
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
        scale = sum(0.5 / m.rms(kept[layer, which, "norm"][t], layer, which) for m, kept, _ in runs)
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
        "expected": float(told.square().sum()) * loud / (a.width - a.centred),
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
        return x - x.mean() if a.centred else x

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
