"""Group relative policy optimisation (GRPO): answers are sampled and rewarded, by the library trl.

Shao et al. 2024 (arXiv:2402.03300), without division by standard deviation or length, which bias
it (Liu et al. 2025, arXiv:2503.20783): the gradient is that of E[r] − β KL(model ‖ start).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Protocol

from circuitgraph.base.errors import CircuitGraphError, InputError, UsageError, first_line, quoted
from circuitgraph.base.notices import collected_warnings
from circuitgraph.training.loop import CLIP, WARM_UP
from circuitgraph.training.request import TrainRequest

LOGGED = ("reward", "reward_std", "kl", "loss", "grad_norm", "learning_rate")
"""Of the library's log, what is kept of every step."""
QUESTIONS = 4
"""Prompts a step and group: as many as the exact trainer has states."""


class Reward(Protocol):
    """Scores completions, as the library calls it."""

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        **columns: Sequence[Any],
    ) -> Sequence[float]:
        """One number a completion; ``columns`` are those of the prompts, repeated alike."""


def require_trl() -> None:
    """Refuse (UsageError) where the library is not installed."""
    if find_spec("trl") is None:
        raise UsageError(
            '``trainer="trl"``: the package trl is not installed; pip install "circuitgraph[train]"'
        )


def questions(texts: Sequence[tuple[Sequence[int], Mapping[str, Any]]], tokenizer: Any) -> list:
    """Prompts as text, beside their columns, for a library that tokenises them again.

    Parameters
    ----------
    texts
        Token ids of each prompt, and its columns.
    tokenizer
        Of the model; a padding token and an end of text stand in for each other.

    Raises
    ------
    InputError
        The text of some prompt has other tokens: what would be trained is not what is measured.
    """
    if tokenizer.pad_token is None and tokenizer.eos_token is None:
        raise InputError(
            '``trainer="trl"``: the tokenizer has neither a padding token nor an end of text'
        )
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer.eos_token = tokenizer.eos_token or tokenizer.pad_token
    tokenizer.padding_side = "left"
    begin = tokenizer("")["input_ids"]
    found = []
    for ids, columns in texts:
        own = list(ids)
        text = tokenizer.decode(own[len(begin) :] if own[: len(begin)] == begin else own)
        if tokenizer(text)["input_ids"] != own:
            raise InputError(
                f'``trainer="trl"``: the prompt {quoted(text)} has other tokens when its text is '
                'read again, as trl does; ``trainer="exact"`` trains on tokens'
            )
        found.append({"prompt": text, **columns})
    return found


def run_grpo(
    tuned: Any, tokenizer: Any, rows: Sequence[Mapping[str, Any]], reward: Reward,
    request: TrainRequest, seed: int, after_step: Callable[[], None] = lambda: None,
) -> list[dict[str, float]]:  # fmt: skip
    """Train an adapter by sampled answers.

    Parameters
    ----------
    tuned
        The model with its adapter; the reference of the divergence is the model as it is now.
    tokenizer, rows
        See :func:`questions`.
    reward
        Scores completions.
    request
        Steps, rate, β, samples a prompt, and how many tokens they have at most.
    seed
        Of the order of prompts and of sampling.
    after_step
        Called after every step.

    Returns
    -------
    list of dict
        Per step: mean reward and its standard deviation within prompts, KL (nats), loss, norm of
        the gradient, rate.

    Raises
    ------
    InputError
        The reward function fails, or the library refuses.
    """
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import GRPOTrainer

    class Progress(TrainerCallback):
        """Counts steps."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            after_step()

    with tempfile.TemporaryDirectory() as folder, collected_warnings():
        try:
            trainer = GRPOTrainer(
                model=tuned, args=_settings(request, folder, seed), reward_funcs=reward,
                train_dataset=Dataset.from_list([*map(dict, rows)]), processing_class=tokenizer,
                callbacks=[Progress()],
            )  # fmt: skip
            trainer.remove_callback(PrinterCallback)  # it writes to stdout, where results go
            trainer.train()
        except CircuitGraphError:  # of the reward function, in words
            raise
        except Exception as error:  # the library raises anything
            raise InputError(f"trl: training failed ({first_line(error)})") from error
    if "ref" in tuned.peft_config:
        tuned.delete_adapter("ref")
    tuned.eval()
    log = [line for line in trainer.state.log_history if "reward" in line]
    return [
        {"step": step, **{name: float(line.get(name, float("nan"))) for name in LOGGED}}
        for step, line in enumerate(log)
    ]


def _settings(request: TrainRequest, folder: str, seed: int) -> Any:
    from trl import GRPOConfig

    count = QUESTIONS * request.groups * request.samples
    return GRPOConfig(
        output_dir=folder, seed=seed, max_steps=request.n_steps, use_cpu=request.device == "cpu",
        learning_rate=request.rate, lr_scheduler_type="cosine", warmup_steps=WARM_UP,
        adam_beta2=0.95, weight_decay=0.0, max_grad_norm=CLIP, beta=request.beta,
        num_generations=request.samples, max_completion_length=request.tokens,
        per_device_train_batch_size=count, gradient_accumulation_steps=1, temperature=1.0,
        scale_rewards="none", loss_type="dr_grpo", gradient_checkpointing=False, bf16=False,
        disable_dropout=True, remove_unused_columns=False, report_to="none", disable_tqdm=True,
        save_strategy="no", logging_steps=1, log_level="error",
    )  # fmt: skip
