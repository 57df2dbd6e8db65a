"""Prompts of tasks from circuit studies, made for a model's tokenizer."""

from __future__ import annotations

from circuitgraph.prompts.tasks.agreement import AGREEMENT
from circuitgraph.prompts.tasks.docstring import DOCSTRING
from circuitgraph.prompts.tasks.entity import ENTITY
from circuitgraph.prompts.tasks.greater_than import GREATER_THAN
from circuitgraph.prompts.tasks.ioi import IOI
from circuitgraph.prompts.tasks.make import Task
from circuitgraph.prompts.tasks.pronoun import PRONOUN
from circuitgraph.prompts.tasks.sums import SUMS

TASKS: dict[str, Task] = {
    task.name: task for task in (IOI, GREATER_THAN, AGREEMENT, PRONOUN, SUMS, DOCSTRING, ENTITY)
}
"""Tasks by name."""
