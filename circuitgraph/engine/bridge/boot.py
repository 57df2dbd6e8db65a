"""Hook a model, and infer from a run how its blocks are connected."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from typing import Any

import torch
from torch import Tensor

from circuitgraph.base.errors import InputError, first_line
from circuitgraph.engine.bridge.checks import TOLERANCE, apart, mixes_heads, refusal
from circuitgraph.engine.bridge.engine import HookedModel
from circuitgraph.engine.bridge.positions import by_row
from circuitgraph.engine.bridge.wrapped import (
    NAMES,
    BlockTrace,
    BridgeTrace,
    Reading,
    ReadOut,
    Wiring,
    trace_of,
)
from circuitgraph.engine.model import Norm

LARGE, SMALL = 1e3, 1e-3
SAME_OUTPUT = 1e-4


def read_norm(module: Callable[[Tensor], Tensor], width: int) -> Norm | None:
    """The LayerNorm or RMSNorm that a module over [..., width] computes, or None.

    Gain and bias are the odd and even parts of its output for ±1, whose mean is 0 and whose root
    mean square is 1; its output for a tiny ±1 gives eps.
    """
    signs = torch.ones(width)
    signs[1::2] = -1
    if width % 2:
        return None
    up, down = module(LARGE * signs), module(-LARGE * signs)
    gain, bias = (up - down) / 2 * signs, (up + down) / 2
    widest = int(gain.abs().argmax())
    answer = float(((module(SMALL * signs) - bias) * signs / gain)[widest])
    eps = max(0.0, SMALL**2 * (answer**-2 - 1)) if answer > 0 else 0.0
    some = torch.randn(8, width, generator=torch.Generator().manual_seed(0))
    centre = _alike(module(some + 3), module(some))
    norm = Norm(gain, bias if bool(bias.any()) else None, eps, centre)
    same = all(_alike(norm(size * some), module(size * some)) for size in (0.1, 1.0, 30.0))
    return norm if same else None


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    return bool((ours - theirs).abs().max() <= SAME_OUTPUT * theirs.abs().max())


EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


@torch.no_grad()
def boot(hf: Any, tokenizer: Any, folder: str, tokens: Tensor) -> HookedModel:
    """The library's bridge over a merged model, and how its blocks connect to the stream.

    Parameters
    ----------
    hf : Any
        The model, float32, adapters merged; used by the bridge from now on.
    folder : str
        Where it was loaded from.
    tokens : int [1, T]
        Some prompt to run.

    Raises
    ------
    InputError
        A family that the bridge cannot take, or whose blocks are no sum of attention heads and
        one MLP.
    """
    _require_one_mlp(hf.config, folder)
    ends = hf.get_output_embeddings()
    try:
        rotary = by_row(hf)
    except ValueError as error:
        raise refusal(folder, hf.config.model_type, str(error)) from error
    hooked = _hooked(hf, tokenizer, folder)
    try:
        layers = len(hooked.blocks)
        trace = trace_of(hooked, layers, tokens)
        _require_equal_heads(trace)
        read = [_readings(hooked.blocks[i], block) for i, block in enumerate(trace.blocks)]
        wiring = [
            _wiring(hooked.blocks[i], block, *readings[:2])
            for i, (block, readings) in enumerate(zip(trace.blocks, read, strict=True))
        ]
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise refusal(folder, hf.config.model_type, _first(error)) from error
    parallel = {readings[2] for readings in read}
    if len(parallel) > 1:
        raise refusal(folder, hf.config.model_type, "only some of its blocks are parallel")
    model = HookedModel(
        family=hf.config.model_type,
        width=trace.final.shape[-1],
        heads=int(hooked.cfg.n_heads),
        kv_heads=int(getattr(hooked.cfg, "n_key_value_heads", None) or hooked.cfg.n_heads),
        parallel=parallel.pop(),
        parameters=sum(p.numel() for p in hf.parameters()),
        vocabulary=trace.logits.shape[-1],
        wiring=tuple(wiring),
        read_out=_read_out(hooked, ends, trace, hf.config),
        hooked=hooked,
        rotary=rotary,
    )
    return replace(model, mixed=mixes_heads(model, tokens, trace))


def _require_one_mlp(config: Any, folder: str) -> None:
    for name in EXPERTS:
        if getattr(config, name, None):
            raise refusal(folder, config.model_type, f"it is a mixture of experts ({name})")


def _require_equal_heads(trace: BridgeTrace) -> None:
    sizes = {tuple(block.z.shape[-2:]) for block in trace.blocks}
    if len(sizes) > 1:
        told = " and ".join(f"{heads} heads of {size}" for heads, size in sorted(sizes))
        raise ValueError(f"its layers have heads of different sizes ({told})")


def _hooked(hf: Any, tokenizer: Any, folder: str) -> Any:
    from transformer_lens.model_bridge import TransformerBridge  # seconds to import

    hf.requires_grad_(False)  # gradients are asked of activations, never of weights
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of them the checks find out
            return TransformerBridge.boot_transformers(
                folder, device="cpu", hf_model=hf, tokenizer=tokenizer
            )
    except Exception as error:  # adapters of a hundred families raise what comes to hand
        raise InputError(
            f"{folder}: model type {hf.config.model_type!r} has no reader, and the library's "
            f"TransformerBridge (transformer-lens {version('transformer-lens')}) cannot wrap it "
            f"({_why(hf.config, error)})"
        ) from error


def _readings(block: Any, trace: BlockTrace) -> tuple[Reading, Reading, bool]:
    """The norms before attention and MLP, and whether both read the same stream."""
    middle = trace.pre + trace.attention
    norms = [_norm(block, name) for name in ("ln1", "ln2")]
    attention = next(_matching(norms, [trace.pre], trace.attention_in, "norm before attention"))
    mlp = next(_matching(norms[::-1], [middle, trace.pre], trace.mlp_in, "norm before the MLP"))
    return attention[0], mlp[0], mlp[1] == 1


def _norm(block: Any, name: str) -> Reading | None:
    module = getattr(block, name, None)
    return None if module is None else module.original_component


def _matching(
    norms: list[Reading | None], streams: list[Tensor], read: Tensor, what: str
) -> Iterator[tuple[Reading, int]]:
    found = [norm for norm in norms if norm is not None]
    for (which, stream), norm in product(enumerate(streams), [*found, _as_it_is]):
        if apart(norm(stream), read) <= TOLERANCE:
            yield norm, which
    raise ValueError(f"no {what} that we know")


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _wiring(block: Any, trace: BlockTrace, attention: Reading, mlp: Reading) -> Wiring:
    heads, size = trace.z.shape[-2:]
    output = block.attn.o.original_component
    bias = output(torch.zeros(heads * size))
    out = (output(torch.eye(heads * size)) - bias).unflatten(0, (heads, size))
    factor = getattr(block, "residual_contribution_scale", 1.0)
    after = _norm(block, "ln1_post")
    if after is None:
        return Wiring(attention, mlp, out * factor, bias * factor, None)
    post = read_norm(after, out.shape[-1])
    if post is None:
        raise ValueError("no norm after attention that we know")
    return Wiring(attention, mlp, out, bias, post)


def _read_out(hooked: Any, ends: Any, trace: BridgeTrace, config: Any) -> ReadOut | None:
    """The final norm and unembedding, where they give the logits (up to factor and cap)."""
    module = _norm(hooked, "ln_final")
    norm = None if module is None or ends is None else read_norm(module, trace.final.shape[-1])
    if norm is None:
        return None
    unembed, bias = ends.weight.detach(), getattr(ends, "bias", None)
    raw = norm(trace.final) @ unembed.T
    raw = raw if bias is None else raw + bias
    cap = getattr(config, "final_logit_softcapping", None)
    if cap:
        return ReadOut(norm, unembed, 1.0) if _same(cap * (raw / cap).tanh(), trace) else None
    factor = float((raw * trace.logits).sum() / raw.pow(2).sum())
    return ReadOut(norm, unembed, factor) if _same(factor * raw, trace) else None


def _same(logits: Tensor, trace: BridgeTrace) -> bool:
    return apart(logits, trace.logits) <= TOLERANCE


def _why(config: Any, error: BaseException) -> str:
    if getattr(config, "new_decoder_architecture", False):
        return "it does not split q, k and v of Falcon's new_decoder_architecture"
    return _first(error)


def _first(error: BaseException) -> str:
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    if isinstance(said, tuple) and len(said) == 2 and said[1] in NAMES:
        return f"the bridge shows no {NAMES[said[1]]} of block {said[0]}"
    return first_line(error).split(". ")[0].rstrip(".")
