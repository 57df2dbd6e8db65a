"""Write prompts to a file that reads back as the same prompts."""

from __future__ import annotations

import json
from pathlib import Path

from circuitgraph.base.atomic import write_atomic
from circuitgraph.base.errors import UsageError
from circuitgraph.prompts.reader import COLUMNS, row_of
from circuitgraph.prompts.record import PromptSet


def require_jsonl(path: Path) -> None:
    """Refuse (UsageError) a file that prompts could not be read back from."""
    if path.suffix.lower() != ".jsonl":
        raise UsageError(f"-o {path}: prompts are written as JSONL; end the name in .jsonl")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UsageError(f"-o {path}: name a file in a folder that is there")


def write_prompts(prompts: PromptSet, path: Path) -> None:
    """Write prompts as JSONL without empty columns."""
    lines = []
    for prompt in prompts:
        row = row_of(prompt)
        given = {name: row[name] for name in COLUMNS if row.get(name) is not None}
        lines.append(json.dumps(given, ensure_ascii=False) + "\n")
    write_atomic(path, "".join(lines).encode("utf-8"))
