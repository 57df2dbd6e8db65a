"""What measures read of a model, whoever runs it: our own engine, or the library under hooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.base.components import Granularity
from circuitgraph.base.errors import InputError
from circuitgraph.engine.batches import gather, right_padded
from circuitgraph.engine.bridge.engine import HookedModel
from circuitgraph.engine.bridge.wrapped import trace_of
from circuitgraph.engine.forward import forward, softcap
from circuitgraph.engine.model import Norm
from circuitgraph.engine.native import NativeModel
from circuitgraph.models.hooked import Hooked
from circuitgraph.models.stored import StoredModel
from circuitgraph.prompts.tokens import Encoded

TOLERANCE = 1e-4
"""Share of the largest logit difference (or of 1) by which a read-out may miss the model's own."""


@dataclass(frozen=True)
class ReadOut:
    """The way from the final stream to logits: cap(norm(x) @ unembed + bias).

    Attributes
    ----------
    norm, unembed
        Unembedding [vocabulary × d], a factor of the logits included.
    bias : [vocabulary] or None
    cap : float or None
    """

    norm: Norm
    unembed: Tensor
    bias: Tensor | None
    cap: float | None

    @classmethod
    def of(cls, model: StoredModel) -> ReadOut:
        """Of a model; raises InputError where hooks do not show it."""
        norm, unembed = model.engine.unembedding()
        if not isinstance(model, Hooked):
            return cls(norm, unembed, None, model.engine.logit_cap)
        bias = model.bias
        factor = getattr(model.engine, "read_out").factor  # noqa: B009 unembedding() asked for it
        return cls(norm, unembed, None if bias is None else bias * factor, model.cap)

    def logits(self, stream: Tensor) -> Tensor:
        """Logits [..., vocabulary] of streams [..., d]."""
        raw = self.norm(stream) @ self.unembed.T
        return softcap(raw if self.bias is None else raw + self.bias, self.cap)

    def apart(self, stream: Tensor, answers: Tensor) -> Tensor:
        """Logit of the first minus that of the second of two tokens [n, 2], of streams [n, d]."""
        both = torch.einsum("nd,nkd->nk", self.norm(stream), self.unembed[answers])
        if self.bias is not None:
            both = both + self.bias[answers]
        both = softcap(both, self.cap)
        return both[:, 0] - both[:, 1]

    def biased(self, answers: Tensor) -> Tensor:
        """What the unembedding's bias adds to that difference, before a cap [n]."""
        if self.bias is None:
            return self.unembed.new_zeros(len(answers))
        return self.bias[answers[:, 0]] - self.bias[answers[:, 1]]

    def constant(self, answers: Tensor, direction: Tensor) -> Tensor:
        """What is added to it whatever the stream holds, before a cap [n]."""
        found = self.biased(answers)
        return found if self.norm.bias is None else found + direction @ self.norm.bias


def streams_at(model: StoredModel, tokens: Tensor, ends: Tensor, index: Tensor) -> list[Tensor]:
    """The residual stream at some positions of each row, after the embedding and every layer.

    Parameters
    ----------
    model
        Run on the rows.
    tokens, ends : int [n, T] and int [n]
        Rows padded on the right, and how long each is.
    index : int [n, W]
        Positions.

    Returns
    -------
    list of [n, W, d]
    """
    engine = model.engine
    if isinstance(engine, NativeModel):
        trace = forward(engine, tokens, ends)
        whole = [trace.embed, *(layer.mid + layer.mlp for layer in trace.layers)]
    else:
        assert isinstance(engine, HookedModel)
        with engine.rows(ends):
            blocks = trace_of(engine.hooked, engine.layers, tokens).blocks
        whole = [blocks[0].pre, *(block.post for block in blocks)]
    return [gather(stream, index) for stream in whole]


def attention_biases(model: StoredModel, granularity: Granularity) -> dict[int, Tensor]:
    """Output biases of attention [d] that no head counts as its own, by layer.

    Raises
    ------
    InputError
        Such a bias under a norm after attention.
    """
    if granularity == "layer":
        return {}
    found = dict(_biases(model.engine))
    if any(post is not None for _, post in found.values()):
        raise InputError(
            "direct logit attribution: attention with an output bias under a norm is not "
            'supported by head; ingest with ``granularity="layer"``'
        )
    return {layer: bias for layer, (bias, _) in found.items()}


def _biases(engine: NativeModel | HookedModel) -> Iterator[tuple[int, tuple[Tensor, object]]]:
    if isinstance(engine, HookedModel):
        for layer, wiring in enumerate(engine.wiring):
            if bool(wiring.bias.any()):
                yield layer, (wiring.bias, wiring.post)
        return
    for layer, block in enumerate(engine.blocks):
        if block.attention.out.bias is not None:
            yield layer, (block.attention.out.bias, block.attention.post)


def require_own_logits(
    model: StoredModel, tokens: Tensor, ends: Tensor, answers: Tensor, told: Tensor
) -> None:
    """Refuse (InputError) logit differences that are not those of the model under hooks."""
    if not isinstance(model, Hooked):
        return  # asked at ingest, against the library
    logits = model.engine.logits(tokens, ends)
    own = logits[torch.arange(len(ends)), ends - 1].gather(1, answers)
    want = own[:, 0] - own[:, 1]
    apart = float((told - want).abs().max())
    if not apart <= TOLERANCE * max(1.0, float(want.abs().max())):
        raise InputError(
            f"model type {model.engine.family!r} makes its logits in a way that hooks do not show "
            f"(a read-out misses them by {apart:.1e})"
        )


@dataclass(frozen=True)
class Scored:
    """Token rows that end at the scored position.

    Attributes
    ----------
    tokens : int [n, T]
        Prompts with the tokens that both answers begin with, padded on the right.
    last : int [n]
        The scored position.
    answers : int [n, 2]
        The answer's token and the wrong answer's, there.
    """

    tokens: Tensor
    last: Tensor
    answers: Tensor

    @property
    def ends(self) -> Tensor:
        """Number of tokens of every row [n]."""
        return self.last + 1

    def direction(self, unembed: Tensor) -> Tensor:
        """Row of the answer minus row of the wrong answer [n, d] of an unembedding."""
        return unembed[self.answers[:, 0]] - unembed[self.answers[:, 1]]


def scored(prompts: Sequence[Encoded]) -> Scored:
    """Rows up to the scored position.

    Raises
    ------
    InputError
        A prompt without answers, with sets of answers, or one answer the beginning of the other.
    """
    shared = [_shared(prompt) for prompt in prompts]
    rows = [p.prompt + p.answer[:k] for p, k in zip(prompts, shared, strict=True)]
    tokens, last = right_padded(rows)
    answers = torch.tensor(
        [[p.answer[k], p.wrong_answer[k]] for p, k in zip(prompts, shared, strict=True)]
    )
    return Scored(tokens, last, answers)


def _shared(prompt: Encoded) -> int:
    if not prompt.answer or prompt.also or prompt.also_wrong:
        raise InputError(
            f"line {prompt.source.line}: this measure takes one answer and one wrong answer a "
            "prompt; ingest the variant on prompts that have them"
        )
    for k, (a, b) in enumerate(zip(prompt.answer, prompt.wrong_answer, strict=False)):
        if a != b:
            return k
    raise InputError(
        f"line {prompt.source.line}: one answer is the beginning of the other, so no token tells "
        "them apart; this measure needs answers that differ in a token"
    )
