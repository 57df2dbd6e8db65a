"""A LoRA adapter of rank 1 on one MLP, taught in a few steps to give to the giver."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from circuitgraph import PromptSet, load_variant


def train(model: Path, prompts: PromptSet, folder: Path, layer: int, steps: int = 12) -> Path:
    """Raise the wrong answer over the right one on a prompt set, by one MLP's output matrix.

    Parameters
    ----------
    model
        A model folder or GGUF file.
    prompts
        With answers of one token each.
    folder
        Where the adapter goes; one that is there already is kept.
    layer
        Whose MLP is trained.
    steps
        Of AdamW, over all prompts each.
    """
    if (folder / "adapter_config.json").is_file():
        return folder
    torch.manual_seed(0)
    loaded = load_variant(model)
    tokenizer = loaded.tokenizer
    settings = LoraConfig(
        r=1, lora_alpha=2, target_modules=["down_proj"], layers_to_transform=[layer],
        task_type="CAUSAL_LM",
    )  # fmt: skip
    tuned = get_peft_model(loaded.hf, settings)
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=2e-2)
    texts = [tokenizer(prompt.prompt)["input_ids"] for prompt in prompts]
    sides = [
        [tokenizer(text)["input_ids"][-1] for text in (prompt.answer, prompt.wrong_answer)]
        for prompt in prompts
    ]
    length = max(map(len, texts))
    rows = torch.tensor([ids + [0] * (length - len(ids)) for ids in texts])
    last = torch.tensor([len(ids) - 1 for ids in texts])
    answers = torch.tensor(sides)
    for _ in range(steps):
        logits = tuned(rows).logits[torch.arange(len(rows)), last]
        right, wrong = logits.gather(1, answers).T
        loss = torch.nn.functional.softplus(right - wrong).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tuned.save_pretrained(folder)
    return folder
