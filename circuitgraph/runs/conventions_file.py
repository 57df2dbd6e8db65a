"""Where a workspace keeps what all runs on one prompt set share, and how it is read.

It is written by ``conventions``, which says what it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitgraph.base.errors import InputError


@dataclass(frozen=True)
class Signs:
    """Which way corruption moves the decision in a prompt set, as written down once for it.

    Attributes:
        variant: whose totals said so: the base, else the first that was ingested.
        by_scenario: +1 or −1.
        totals: of every prompt, in that variant.
    """

    variant: str
    by_scenario: Mapping[str, int]
    totals: tuple[float, ...]


def record_path(runs_folder: Path, key: str) -> Path:
    """Where a workspace keeps what all runs on one prompt set share; see ``conventions``."""
    return runs_folder.parent / "prompts" / f"{key}.json"


def signs_key(ablation: str) -> str:
    """Under which the signs of effects by one ablation stand in a record."""
    return f"signs {ablation}"


def read_json(path: Path) -> Any:
    """The contents of a JSON file of the workspace.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return json.loads(path.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove it and ingest again") from error


def read_signs(runs_folder: Path, record: Mapping[str, Any]) -> Signs | None:
    """The signs of a run, given its ``run.json``; None where none are written down."""
    path = record_path(runs_folder, record["prompts_fingerprint"])
    if record["method"]["kind"] != "effect" or not path.is_file():
        return None
    try:
        known = read_json(path).get(signs_key(record["method"]["ablation"]))
        if known is None:
            return None
        return Signs(known["variant"], dict(known["by_scenario"]), tuple(known["totals"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error!r}); remove it and ingest again"
        ) from error
