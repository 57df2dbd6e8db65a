"""The logit lens (nostalgebraist 2020, interpreting GPT: the logit lens)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from circuitgraph.base.components import EMBED, resid_name
from circuitgraph.engine.batches import right_padded
from circuitgraph.models.stored import BATCH, StoredModel
from circuitgraph.nodes.readout import ReadOut, require_own_logits, scored, streams_at
from circuitgraph.nodes.record import Node, NodeValues
from circuitgraph.prompts.tokens import Encoded


@torch.no_grad()
def logit_lens(model: StoredModel) -> NodeValues:
    """Logit difference of the answers, from the residual stream after embedding and every layer.

    At the scored position, with the final norm and the model's soft cap, so that the last layer
    gives the model's own logits. Where answers have several tokens, also the decision token by
    token, in categories ``token 1``, ``token 2`` and so on: log-probability of the answer's minus
    that of the wrong answer's, each behind its own answer; a token that an answer does not have
    counts 0, so that the sum over tokens is the decision, in nats.
    """
    read_out, rows = ReadOut.of(model), []
    count = max(len(side) for p in model.prompts for side in (p.answer, p.wrong_answer))
    for start in range(0, len(model.prompts), BATCH):
        prompts = model.prompts[start : start + BATCH]
        batch = scored(prompts)
        streams = streams_at(model, batch.tokens, batch.ends, batch.last[:, None])
        found = [read_out.apart(stream[:, 0], batch.answers) for stream in streams]
        require_own_logits(model, batch.tokens, batch.ends, batch.answers, found[-1])
        whole = [torch.stack(found, 1)[..., None]]
        if count > 1:
            sides = [[p.answer for p in prompts], [p.wrong_answer for p in prompts]]
            first, second = (_log_probs(model, read_out, prompts, x, count) for x in sides)
            whole.append(first - second)
        rows.append(torch.cat(whole, -1).flatten(1).float().numpy())
    kinds = ["", *(f"token {k + 1}" for k in range(count))] if count > 1 else [""]
    names = [EMBED, *(resid_name(layer) for layer in range(model.engine.layers))]
    facts = {} if read_out.cap is None else {"after the soft cap of": read_out.cap}
    nodes = tuple(Node(name, kind) for name in names for kind in kinds)
    return NodeValues(nodes, np.concatenate(rows), facts)


def _log_probs(
    model: StoredModel,
    read_out: ReadOut,
    prompts: Sequence[Encoded],
    answers: Sequence[tuple[int, ...]],
    count: int,
) -> Tensor:
    """Log-probability of each token of one answer a prompt [n, 1 + layers, count], else 0."""
    rows = [p.prompt + answer[:-1] for p, answer in zip(prompts, answers, strict=True)]
    tokens, last = right_padded(rows)
    targets, longest = right_padded(list(answers))
    steps = torch.arange(targets.shape[1])
    starts = torch.tensor([len(prompt.prompt) - 1 for prompt in prompts])
    index = (starts[:, None] + steps).minimum(last[:, None])
    there = (steps <= longest[:, None]).float()
    found = [
        read_out.logits(stream).log_softmax(-1).gather(-1, targets[..., None])[..., 0] * there
        for stream in streams_at(model, tokens, last + 1, index)
    ]
    return pad(torch.stack(found, 1), (0, count - targets.shape[1]))
