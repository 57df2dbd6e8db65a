"""The text files of a run; what many runs of a workspace share is parsed once."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from circuitgraph.base.components import Edge
from circuitgraph.base.wellformed import texts, typed
from circuitgraph.prompts.record import SETS, RunPrompt


def description_of(text: str) -> tuple[dict[str, Any], tuple[Edge, ...]]:
    """A run's description without its edges, and these.

    Edges are most of the text, and alike in all runs of a method: their part of it, between two
    lines that no text inside it can hold (its line ends would be escaped), is read once.
    """
    before, found, rest = text.partition('\n "edges": [\n')
    edges, ended, after = rest.partition('\n ],\n "self_check": ')
    if not found or not ended:
        record = json.loads(text)
        return record, _edges(json.dumps(record.pop("edges")))
    return json.loads(f'{before}\n "self_check": {after}'), _edges(f"[{edges}]")


@lru_cache(maxsize=4)
def _edges(text: str) -> tuple[Edge, ...]:
    return tuple(texts(Edge(*edge)) for edge in json.loads(text))


@lru_cache(maxsize=8)  # the runs of a workspace have few sets of prompts
def prompts_of(text: str) -> tuple[RunPrompt, ...]:
    """The prompts of ``prompts.jsonl``."""
    return tuple(_prompt(line) for line in text.splitlines())


def _prompt(line: str) -> RunPrompt:
    """A stored prompt; sets of answers, lists in JSON, become tuples."""
    values = json.loads(line)
    return typed(RunPrompt(**values | {n: tuple(values[n]) for n in SETS if n in values}))
