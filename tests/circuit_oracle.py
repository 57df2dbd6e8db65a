"""Decisions of circuits by plain hooks on the library's ``TransformerBridge``.

One circuit and one prompt at a time, and the definition word for word: a receiver reads
the corrupt run's residual stream, plus for each sender of the circuit the difference
between what it says now and what it said there. Contributions of this run are collected
by hooks of the same forward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from oracle import sent
from torch import Tensor

from circuitgraph.base.components import EMBED, LOGITS, Edge, parse
from circuitgraph.prompts.tokens import Encoded

Reference = Callable[[tuple[int, ...]], tuple[Callable[[str], Tensor], Callable[[str], Tensor]]]
"""Of the answer tokens shown: a sender's contribution [1, T, d], and the stream at a place."""


def corrupt_run(bridge: Any, prompt: Encoded) -> Reference:
    """What the corrupt run says."""

    def reference(shown: tuple[int, ...]) -> Any:
        _, cache = bridge.run_with_cache(torch.tensor([prompt.corrupt + shown]))
        return (lambda name: sent(bridge, cache, name)), (lambda place: cache[place])

    return reference


@torch.no_grad()
def decision(
    bridge: Any,
    prompt: Encoded,
    edges: Sequence[Edge],
    inside: Sequence[bool],
    reference: Reference,
) -> float:
    """Decision of one prompt in the circuit of the edges that are ``inside``."""
    chosen = [edge for edge, there in zip(edges, inside, strict=True) if there]
    total, end = 0.0, len(prompt.prompt)
    signed = ((prompt.answer, 1.0), (prompt.wrong_answer, -1.0))
    for shown in {answer[:-1] for answer, _ in signed}:
        forward = _Forward(bridge, prompt.prompt + shown, end, chosen, *reference(shown))
        scores = forward.logits().double().log_softmax(-1)
        for answer, sign in signed:
            if answer[:-1] == shown:
                total += sign * float(sum(scores[end - 1 + k, t] for k, t in enumerate(answer)))
    return total


class _Forward:
    """One circuit on one sequence."""

    def __init__(self, bridge, tokens, end, edges, reference, stream):
        self.bridge, self.end, self.edges = bridge, end, edges
        self.tokens = torch.tensor([tokens])
        self.reference, self.stream = reference, stream
        self.layers, self.heads = len(bridge.blocks), bridge.cfg.n_heads
        self.joint = any(e.input == "all" and parse(e.target).kind == "head" for e in edges)

    def logits(self) -> Tensor:
        """Of the run [T, vocabulary]; heads that read through q, k and v together are done
        layer by layer, a copy of the sequence for each head."""
        known: dict[int, Tensor] = {}
        for layer in range(self.layers if self.joint else 0):
            known[layer] = self._outputs_of_heads(layer, known)
        return self.bridge.run_with_hooks(self.tokens, fwd_hooks=self._hooks(known))[0]

    def _outputs_of_heads(self, layer: int, known: dict[int, Tensor]) -> Tensor:
        said: dict[str, Tensor] = {}
        kept: list[Tensor] = []

        def read(x, hook):
            rows = [
                self._read(x[h : h + 1, :, :1], f"L{layer}H{h}", "all", said, h)
                for h in range(self.heads)
            ]
            return torch.cat(rows).expand_as(x)

        def take(z, hook):
            by_head = z.reshape(*z.shape[:2], self.heads, -1)
            kept.append(torch.stack([by_head[h, :, h] for h in range(self.heads)], 1))

        hooks = self._hooks(known, said)
        hooks += [(f"blocks.{layer}.attn.hook_{c}_input", read) for c in "qkv"]
        hooks.append((f"blocks.{layer}.attn.hook_z", take))
        self.bridge.run_with_hooks(self.tokens.expand(self.heads, -1), fwd_hooks=hooks)
        return kept[0]

    def _hooks(self, known: dict[int, Tensor], said: dict[str, Tensor] | None = None) -> list:
        said = {} if said is None else said
        hooks: list = [("blocks.0.hook_resid_pre", self._collect(said, EMBED))]
        for layer in range(self.layers):
            block = f"blocks.{layer}"
            if layer in known:
                hooks.append((f"{block}.attn.hook_z", self._put(known[layer])))
            elif not self.joint:
                hooks += [
                    (f"{block}.attn.hook_{c}_input", self._attention_reads(layer, c, said))
                    for c in "qkv"
                ]
            hooks.append((f"{block}.attn.hook_result", self._collect_heads(said, layer)))
            hooks.append((f"{block}.hook_attn_out", self._collect(said, f"L{layer}_ATTN")))
            hooks.append((f"{block}.hook_mlp_in", self._reads(f"L{layer}_MLP", said)))
            hooks.append((f"{block}.hook_mlp_out", self._collect(said, f"L{layer}_MLP")))
        hooks.append((f"blocks.{self.layers - 1}.hook_resid_post", self._reads(LOGITS, said)))
        return hooks

    def _read(self, x, target, letter, said, row=0):
        """A receiver's input [1, T, ..., d] where it would be x without a circuit."""
        place = parse(target)
        name = {"mlp": "hook_resid_mid", "logits": "hook_resid_post"}.get(
            place.kind, "hook_resid_pre"
        )
        layer = self.layers - 1 if target == LOGITS else place.layer
        sum_ = self.stream(f"blocks.{layer}.{name}").expand(1, x.shape[1], -1)
        for edge in self.edges:
            if edge.target == target and edge.input in (letter, "all", "in"):
                sum_ = sum_ + said[edge.source][row : row + 1] - self.reference(edge.source)
        out = x.clone()
        shape = (1, -1, *[1] * (x.ndim - 3), x.shape[-1])
        out[:, : self.end] = sum_.reshape(shape)[:, : self.end]
        return out

    def _reads(self, target, said):
        def hook(x, hook):
            rows = [self._read(x[r : r + 1], target, "in", said, r) for r in range(len(x))]
            return torch.cat(rows)

        return hook

    def _attention_reads(self, layer, letter, said):
        targets = {e.target for e in self.edges if parse(e.target).layer == layer}
        whole = any(parse(t).kind == "attn" for t in targets)

        def hook(x, hook):
            if whole:
                return self._read(x, f"L{layer}_ATTN", letter, said)
            kind = "H" if letter == "q" else "KV"
            parts = [
                self._read(x[:, :, i : i + 1], f"L{layer}{kind}{i}", letter, said)
                for i in range(x.shape[2])
            ]
            return torch.cat(parts, 2)

        return hook

    def _collect(self, said, name):
        def hook(x, hook):
            said[name] = x.clone()

        return hook

    def _collect_heads(self, said, layer):
        def hook(x, hook):
            for head in range(self.heads):
                cache = {f"blocks.{layer}.attn.hook_result": x}
                said[f"L{layer}H{head}"] = sent(self.bridge, cache, f"L{layer}H{head}")

        return hook

    def _put(self, z):
        def hook(x, hook):
            return z.reshape(1, *x.shape[1:]).expand_as(x).clone()

        return hook
