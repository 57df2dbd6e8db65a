"""How far two variants are apart as models: the size of the update, and what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import torch

from circuitgraph.base.errors import CircuitGraphError, InputError
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.template import Moment
from circuitgraph.prompts.tokens import Encoded, encode
from circuitgraph.runs.identity import tokens_of
from circuitgraph.runs.record import Run, Variant


def reload(variant: Variant) -> tuple[Any, Any]:
    """The library's merged model and tokenizer of a stored variant.

    Raises:
        InputError: its files are gone or no longer the same.
    """
    loaded = load_variant(variant.base, variant.adapter or None, name=variant.name)
    if not loaded.variant.same_files(variant):
        raise InputError(
            f"variant {variant.name!r}: the files in {variant.base} are no longer those ingested"
        )
    return loaded.merged(), loaded.tokenizer


def drift(a: Run, b: Run) -> dict[str, float] | None:
    """‖W_B − W_A‖ / ‖W_A‖ over all weights, and the mean KL(A ‖ B) of the next token.

    The divergence is taken over the whole vocabulary after each prompt, in nats.

    Returns:
        ``{"weights": …, "kl": …}``, or None where the models cannot be loaded again or
        have not the same shapes.
    """
    if not (a.variant.base and b.variant.base):
        return None
    try:
        model_a, tokenizer = reload(a.variant)
        model_b, _ = reload(b.variant)
        prompts = reencoded(a, tokenizer)
    except CircuitGraphError:
        return None
    if _shapes(model_a) != _shapes(model_b):
        return None
    return {"weights": weight_change(model_a, model_b), "kl": mean_kl(model_a, model_b, prompts)}


def reencoded(run: Run, tokenizer: Any, rows: int | None = None) -> tuple[Encoded, ...]:
    """A run's prompts, corrupt prompts and answers as token ids once more, in its order.

    Raises:
        InputError: the tokenizer or the template makes other tokens of them now, or a token
            from ``rows`` on, which the model has no embedding of.
    """
    from circuitgraph.prompts import Prompt, PromptSet

    names = {field.name for field in fields(Prompt)}
    texts = []
    for prompt in run.prompts:
        values = {name: value for name, value in asdict(prompt).items() if name in names}
        texts.append(Prompt(**values | {"prompt": prompt.prompt or ""}))
    source = PromptSet(tuple(texts), f"the prompts of run {run.id[:12]}")
    chat, moment = run.method.template == "chat", Moment.of_run(run.rendered)
    again = encode(source, tokenizer, chat_template=chat, moment=moment, rows=rows).prompts
    _require_as_read(run, again)
    return again


def _require_as_read(run: Run, again: Sequence[Encoded]) -> None:
    activity = run.method.activity
    for prompt, encoded in zip(run.prompts, again, strict=True):
        if prompt.tokens not in (None, tokens_of(encoded, run.kind, activity)):
            raise InputError(
                f"prompt {prompt.id!r:.60} of run {run.id[:12]} has other tokens than when it was "
                f"ingested: the tokenizer or chat template of {run.variant.name!r:.60} was "
                "changed; restore it, or ingest again"
            )


def same_tokens(prompts: Sequence[Encoded], again: Sequence[Encoded]) -> bool:
    """Whether two tokenizers read the same prompts, corrupt prompts and answers alike."""
    ids = [[(p.prompt, p.corrupt, p.answer, p.wrong_answer) for p in s] for s in (prompts, again)]
    return ids[0] == ids[1]


def _named(model: Any) -> dict[str, torch.Tensor]:
    """All parameters; those that are tied under both their names."""
    return dict(model.named_parameters(remove_duplicate=False))


def _shapes(model: Any) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in _named(model).items()}


@torch.no_grad()
def weight_change(a: Any, b: Any) -> float:
    """‖W_B − W_A‖ / ‖W_A‖ over all parameters (Frobenius)."""
    left, right = _named(a), _named(b)
    change = size = 0.0
    for name in {name for model in (a, b) for name, _ in model.named_parameters()}:
        before = left[name].double()  # one at a time: all in double would take thrice the room
        change += float((right[name].double() - before).pow(2).sum())
        size += float(before.pow(2).sum())
    return (change / size) ** 0.5


@torch.no_grad()
def mean_kl(a: Any, b: Any, prompts: Sequence[Encoded]) -> float:
    """Mean over prompts of KL(A ‖ B) of the next token's distribution, in nats."""
    total = 0.0
    for prompt in prompts:
        tokens = torch.tensor([prompt.whole])
        p, q = (m(tokens).logits[0, -1].double().log_softmax(-1) for m in (a, b))
        total += float((p.exp() * (p - q)).sum())
    return total / len(prompts)
