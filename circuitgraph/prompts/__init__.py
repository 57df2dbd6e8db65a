"""Prompts: read, check, pair and group them.

A prompt file is JSONL or CSV with the columns ``prompt`` and ``scenario``, for effects
``corrupt``, ``answer`` and ``wrong_answer``, and if you like ``id``, ``direction``,
``template``, and ``span`` with ``corrupt_span``. Nothing here needs a model or a tokenizer.
"""

from circuitgraph.prompts.reader import read_prompts
from circuitgraph.prompts.record import Prompt, PromptSet

__all__ = ["Prompt", "PromptSet", "read_prompts"]
