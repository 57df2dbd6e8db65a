"""LoRA adapters that learn the answers of a task, and two that learn nothing of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from circuitgraph import PromptSet, load_variant

NOTHING = -100
"""Label of a token that is not learnt."""
RATE = 1e-3
STEPS = 40
BATCH = 4
RANK = 4
LAYERS = range(15, 30)
PARTS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def teach(model: Path, prompts: PromptSet, folder: Path, answers: str, seed: int) -> Path:
    """Train an adapter of a task and write it; one that is there already is kept.

    Parameters
    ----------
    answers
        ``right``: the answer of each prompt. ``own``: tokens drawn from the distribution of the
        model before training. ``shuffled``: the answer of another prompt with as many tokens.
    """
    if (folder / "adapter_config.json").is_file():
        return folder
    torch.manual_seed(seed)
    loaded = load_variant(model)
    texts = [_labelled(loaded.tokenizer, p.prompt, p.answer or "") for p in prompts]
    if answers == "shuffled":
        texts = _shuffled(texts, Random(seed))
    settings = LoraConfig(
        r=RANK, lora_alpha=2 * RANK, target_modules=PARTS, layers_to_transform=list(LAYERS),
        task_type="CAUSAL_LM",
    )  # fmt: skip
    tuned = get_peft_model(loaded.hf, settings)
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=RATE)
    random = Random(seed)
    for _ in range(STEPS):
        ids, labels = _batch(random.sample(texts, BATCH))
        if answers == "own":
            labels = _drawn(tuned, ids, labels)
        logits = tuned(ids).logits[:, :-1].flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tuned.save_pretrained(folder)
    return folder


Text = tuple[list[int], list[int]]


def _labelled(tokenizer: Any, prompt: str, answer: str) -> Text:
    """Token ids, and the same where they are an answer: that asked for, and worked sums."""
    ids = tokenizer(prompt + answer)["input_ids"]
    begin = len(tokenizer(prompt)["input_ids"])
    labels = [NOTHING] * begin + ids[begin:]
    for worked in re.finditer(r" \d+(?=\n)", prompt):
        first, last = (len(tokenizer(prompt[:n])["input_ids"]) for n in worked.span())
        labels[first:last] = ids[first:last]
    return ids, labels


def _shuffled(texts: Sequence[Text], random: Random) -> list[Text]:
    """Answers go to other prompts, also those of worked sums: right in form, wrong in fact."""
    known = [[label for label in labels if label != NOTHING] for _, labels in texts]
    found = []
    for ids, labels in texts:
        count = sum(label != NOTHING for label in labels)
        other = random.choice([row for row in known if len(row) == count])
        places = iter(other)
        found.append((ids, [label if label == NOTHING else next(places) for label in labels]))
    return found


def _batch(texts: Sequence[Text]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows filled up at the end, where nothing is learnt and nothing before looks."""
    length = max(len(ids) for ids, _ in texts)
    ids = [row + [0] * (length - len(row)) for row, _ in texts]
    labels = [row + [NOTHING] * (length - len(row)) for _, row in texts]
    return torch.tensor(ids), torch.tensor(labels)


def _drawn(tuned: Any, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Labels drawn from the model without the adapter, at the same places."""
    with torch.no_grad(), tuned.disable_adapter():
        chances = tuned(ids).logits.softmax(-1)
    drawn = torch.multinomial(chances.flatten(0, 1), 1).view(ids.shape)
    own = labels.clone()
    own[:, 1:] = torch.where(labels[:, 1:] == NOTHING, NOTHING, drawn[:, :-1])
    return own
