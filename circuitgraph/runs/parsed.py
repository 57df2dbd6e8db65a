"""The text files of a run, and the signs of its prompts; what many runs share is parsed once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from circuitgraph.base.components import Edge
from circuitgraph.base.wellformed import texts, typed
from circuitgraph.prompts.record import SETS, RunPrompt
from circuitgraph.runs.artefacts import get


@dataclass(frozen=True)
class Signs:
    """Sign of the total of each scenario, recorded once for a prompt set.

    Attributes
    ----------
    variant : str
        Whose totals gave them: the base, else the first that was ingested.
    by_scenario : mapping
        +1 or −1.
    totals : tuple of float
        Of every prompt, in that variant.
    """

    variant: str
    by_scenario: Mapping[str, int]
    totals: tuple[float, ...]


def record_path(runs_folder: Path, key: str) -> Path:
    return runs_folder.parent / "prompts" / f"{key}.json"


def signs_key(ablation: str) -> str:
    """Key of the signs of effects by one ablation in a record."""
    return f"signs {ablation}"


def read_signs(runs_folder: Path, record: Mapping[str, Any]) -> Signs | None:
    """The signs of a run, given its ``run.json``; None where none are recorded."""
    path = record_path(runs_folder, record["prompts_fingerprint"])
    if record["method"]["kind"] != "effect":
        return None
    key = signs_key(record["method"]["ablation"])

    def parse(kept: Mapping[str, Any]) -> Signs | None:
        known = kept.get(key)
        if known is None:
            return None
        return Signs(known["variant"], dict(known["by_scenario"]), tuple(known["totals"]))

    return get(path, parse, "ingest again")


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
