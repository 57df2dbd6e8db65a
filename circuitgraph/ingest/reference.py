"""Totals of the base of an adapter, for the signs of a new prompt set."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from circuitgraph.prompts.tokens import Encoded


@torch.no_grad()
def base_totals(peft_model: Any, prompts: Sequence[Encoded]) -> np.ndarray:
    """decision(corrupt) − decision(clean) of the base, with the adapter disabled; float64 [n].

    Signs are the base's, so that they do not depend on which variant is ingested first. Prompts
    run one by one in the library's own forward, once a prompt set. ``peft_model`` is unmerged.
    """
    with warnings.catch_warnings(), peft_model.disable_adapter():
        warnings.simplefilter("ignore")  # of trained biases, which peft leaves in place
        return np.array(
            [
                _decision(peft_model, p, p.corrupt or ()) - _decision(peft_model, p, p.prompt)
                for p in prompts
            ]
        )


def _decision(hf: Any, prompt: Encoded, text: tuple[int, ...]) -> float:
    sides = (prompt.answer, *prompt.also), (prompt.wrong_answer, *prompt.also_wrong)
    right, wrong = ([_log_p(hf, text, answer) for answer in side] for side in sides)
    return float(np.logaddexp.reduce(right) - np.logaddexp.reduce(wrong))


def _log_p(hf: Any, text: tuple[int, ...], answer: tuple[int, ...]) -> float:
    tokens = torch.tensor([text + answer])
    log_p = hf(tokens).logits[0, len(text) - 1 : -1].log_softmax(-1)
    return float(log_p.gather(1, tokens[0, len(text) :, None]).sum())
