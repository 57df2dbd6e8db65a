"""Prompts: read, check, pair and group them.

A prompt file is JSONL or CSV with the columns ``prompt`` and ``scenario``, for effects
``corrupt``, ``answer`` and ``wrong_answer``, and optionally ``id``, ``direction``,
``template``, and ``span`` with ``corrupt_span``. Needs no model or tokenizer.
"""

from circuitgraph.prompts.reader import read_prompts
from circuitgraph.prompts.record import Prompt, PromptSet

__all__ = ["Prompt", "PromptSet", "read_prompts"]
