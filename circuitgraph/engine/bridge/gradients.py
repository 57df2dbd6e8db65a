"""Gradients with respect to receivers' inputs by hooks, and edge attribution from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity, Inputs
from circuitgraph.engine.attribution import averaged
from circuitgraph.engine.bridge.patch import (
    BridgePatch,
    add_to_stream,
    patch_attention_input,
    patch_mlp_input,
    put,
)
from circuitgraph.engine.bridge.wrapped import LETTERS, Hook, decide_logits, hook_name
from circuitgraph.engine.patch import changed
from circuitgraph.engine.receivers import Receiver, receivers


@dataclass(frozen=True)
class BridgeGradients:
    """Gradients of every prompt's own decision, and the graph to attention's inputs.

    Attributes
    ----------
    z : [R, T, H, e] a block
        By each head's output before the output matrix.
    mlp, mlp_read : [R, T, d] a block
        By the MLP's contribution, and by its input stream.
    last : [R, T, d]
        By the input of the final norm.
    nodes : dicts
        Of every block q, k, v and z of the run, and a zero added to attention's input stream.
    """

    z: tuple[Tensor, ...]
    mlp: tuple[Tensor, ...]
    mlp_read: tuple[Tensor, ...]
    last: Tensor
    nodes: tuple[dict[str, Tensor], ...]

    def by_input(self, receiver: Receiver, heads: int, kv_heads: int) -> Tensor:
        """Gradient [R, T, d] by the input stream of one attention receiver.

        From its own heads' output back to q, k and v, from these to its own columns (a norm over
        all heads may have led beyond them), and on to the stream.
        """
        node = self.nodes[receiver.layer]
        own = torch.zeros(heads, dtype=torch.bool)
        own[receiver.heads] = True
        mine = self.z[receiver.layer] * own[:, None]
        read = [node[letter] for letter in receiver.letters]
        back = _gradients(node["z"], read, mine)
        kept = [
            g * _columns(own if letter == "q" else own.unflatten(0, (kv_heads, -1)).any(-1), g)
            for letter, g in zip(receiver.letters, back, strict=True)
        ]
        return sum(
            (_gradients(x, [node["stream"]], g)[0] for x, g in zip(read, kept, strict=True)),
            torch.zeros_like(node["stream"]),
        )


def _columns(own: Tensor, projected: Tensor) -> Tensor:
    """1 where a projection [R, T, …] belongs to one of the heads ``own``, else 0."""
    width = projected[0, 0].numel() // len(own)
    return own.repeat_interleave(width).view(projected.shape[2:]).to(projected.dtype)


def _gradients(output: Tensor, inputs: Sequence[Tensor], by_output: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(output, inputs, by_output.view_as(output), retain_graph=True)


def bridge_gradients(patch: BridgePatch, start: Tensor) -> BridgeGradients:
    """Gradients of the decision in a run over the clean tokens.

    ``start`` [R, T, d] is the stream entering the first block.
    """
    bridge, batch = patch.bridge, patch.batch
    with torch.enable_grad():
        nodes: list[dict[str, Tensor]] = [{} for _ in range(bridge.layers)]
        zero = [torch.zeros_like(start, requires_grad=True) for _ in range(2 * bridge.layers + 1)]
        hooks: list[Hook] = [put(0, "pre", start.detach())]
        for layer, node in enumerate(nodes):
            node["stream"] = zero[layer]
            hooks += patch_attention_input(bridge, layer, zero[layer])
            hooks += [
                (hook_name(layer, name), _keep(node, name)) for name in (*LETTERS, "z", "mlp")
            ]
            hooks += patch_mlp_input(bridge, layer, zero[bridge.layers + layer])
        hooks += add_to_stream(bridge.layers - 1, "post", zero[-1])
        logits = bridge.hooked.run_with_hooks(batch.clean, fwd_hooks=hooks)
        decision = decide_logits(logits, batch)[0].sum()
    wanted = [node["z"] for node in nodes] + [node["mlp"] for node in nodes]
    found = _gradients(decision, [*wanted, *zero[bridge.layers :]], torch.ones_like(decision))
    z, mlp, read = (found[i * bridge.layers : (i + 1) * bridge.layers] for i in range(3))
    return BridgeGradients(z, mlp, read, found[-1], tuple(nodes))


def _keep(node: dict[str, Tensor], name: str) -> Callable[[Tensor, Any], Tensor]:
    def note(x: Tensor, hook: Any) -> Tensor:
        node[name] = x
        return x  # hooks are shown a view: returned, it is what the run goes on with

    return note


def eap_columns(
    patch: BridgePatch, granularity: Granularity = "head", inputs: Inputs = "joint", steps: int = 0
) -> Iterator[Tensor]:
    """Scores [senders, n] of one receiver after the other: of EAP-IG in so many steps, else EAP."""
    clean = patch.clean.blocks[0].pre
    ends = clean + patch.deltas[0], clean
    return averaged(lambda x: _gradient_columns(patch, x, granularity, inputs), *ends, steps)


def _gradient_columns(
    patch: BridgePatch, start: Tensor, granularity: Granularity, inputs: Inputs
) -> Iterator[Tensor]:
    bridge, found = patch.bridge, bridge_gradients(patch, start)
    for receiver in receivers(bridge, granularity, inputs):
        if receiver.heads is not None:
            gradient = found.by_input(receiver, bridge.heads, bridge.kv_heads)
        elif receiver.layer < bridge.layers:
            gradient = found.mlp_read[receiver.layer]
        else:
            gradient = found.last
        deltas = patch.deltas[: receiver.senders]
        by_row = torch.einsum("srtd,rtd->sr", deltas, gradient)
        yield patch.batch.by_prompt(by_row) * changed(deltas, patch.batch)
