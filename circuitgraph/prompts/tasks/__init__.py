"""Prompts of tasks from circuit studies, made for a model's tokenizer."""

from __future__ import annotations

from typing import Any

from circuitgraph.base.errors import UsageError
from circuitgraph.prompts.record import PromptSet
from circuitgraph.prompts.tasks.agreement import AGREEMENT
from circuitgraph.prompts.tasks.docstring import DOCSTRING
from circuitgraph.prompts.tasks.entity import ENTITY
from circuitgraph.prompts.tasks.greater_than import GREATER_THAN
from circuitgraph.prompts.tasks.ioi import IOI
from circuitgraph.prompts.tasks.make import Task, drawn
from circuitgraph.prompts.tasks.pronoun import PRONOUN
from circuitgraph.prompts.tasks.sums import SUMS

TASKS: dict[str, Task] = {
    task.name: task for task in (IOI, GREATER_THAN, AGREEMENT, PRONOUN, SUMS, DOCSTRING, ENTITY)
}
"""Tasks by name."""


def make_task(name: str, tokenizer: Any, n: int = 200, seed: int = 0) -> PromptSet:
    """Prompts of a task by its name (``UsageError`` where there is none); see ``make.drawn``."""
    if name not in TASKS:
        raise UsageError(f"the task {name!r} is unknown; choose from {', '.join(TASKS)}")
    return drawn(TASKS[name], tokenizer, n, seed)
