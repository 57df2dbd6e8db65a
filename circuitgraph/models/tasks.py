"""Prompts of the tasks that circuits are studied on, for the tokenizer of a model folder."""

from __future__ import annotations

import os

from circuitgraph.base.errors import UsageError
from circuitgraph.base.textfiles import expanded
from circuitgraph.models.variants import model_folder
from circuitgraph.prompts.record import PromptSet
from circuitgraph.prompts.tasks import TASKS, make_task
from circuitgraph.prompts.tokenizer import load_tokenizer


def make_prompts(
    task: str, model: str | os.PathLike[str], *, n: int = 200, seed: int = 0
) -> PromptSet:
    """Prompts of a task, with corrupt twins and answers that a model's tokenizer reads as meant.

    Parameters
    ----------
    task
        ``ioi``, ``greater-than``, ``agreement``, ``pronoun``, ``sums`` or ``docstring``.
    model
        A model folder or hub name; of a folder only the tokenizer is read.
    n, seed
        Number of prompts, and the seed of the draws.

    Returns
    -------
    PromptSet
        As :func:`circuitgraph.prompts.tasks.make.drawn` makes them.

    Raises
    ------
    UsageError, InputError
        No such task or model, or a tokenizer that does not know enough of the task's words.
    """
    if task not in TASKS:
        raise UsageError(f"the task {task!r} is unknown; choose from {', '.join(TASKS)}")
    folder = expanded(model)
    return make_task(
        task, load_tokenizer(folder if folder.is_dir() else model_folder(folder)), n, seed
    )
