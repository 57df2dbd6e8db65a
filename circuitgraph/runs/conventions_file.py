"""Files of ``conventions``: where they are, and how signs are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
