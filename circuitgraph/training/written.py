"""The folder of one trained seed: its adapter, its log and its record."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitgraph.base.atomic import sync, write_atomic
from circuitgraph.training.adapter import write_adapter


@dataclass(frozen=True)
class Trained:
    """One finished seed.

    Attributes
    ----------
    folder
        The adapter.
    record
        The content of ``train.json``.
    """

    folder: Path
    record: Mapping[str, Any]

    @property
    def learnt(self) -> bool | None:
        """Whether the recipe was learnt; None for null recipes, or with too few wordings."""
        return self.record["learnt"]

    def rows(self) -> list[dict[str, Any]]:
        """One row per game and state."""
        known = {"adapter": self.folder.name, "seed": self.record["seed"]}
        return [{**known, **row, "learnt": self.learnt} for row in self.record["held_out"]]


def write_seed(
    folder: Path, tuned: Any, record: Mapping[str, Any], log: Sequence[Mapping[str, Any]]
) -> None:
    """Write a seed's folder; it appears under its name only when complete."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        write_adapter(tuned, partial)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(log[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: _short(v) for k, v in step.items()} for step in log)
        write_atomic(partial / "log.csv", text.getvalue().encode("utf-8"))
        content = json.dumps(record, indent=1, ensure_ascii=False, default=str)
        write_atomic(partial / "train.json", content.encode("utf-8"))
        os.rename(partial, folder)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync(folder.parent)


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
