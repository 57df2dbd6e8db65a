"""Tested blocks, kept beside their diff and read again for the same question."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.base.errors import UsageError
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import USUAL, Resources
from circuitgraph.diff.kept import DiffFolder
from circuitgraph.diff.record import Diff
from circuitgraph.interventions.patching.blocks import BlockTests, confirm_blocks
from circuitgraph.interventions.patching.corruption import Recorrupt, second_corruption
from circuitgraph.prompts import read_prompts
from circuitgraph.prompts.reader import Source
from circuitgraph.runs.artefacts import get
from circuitgraph.runs.record import Run


def blocks_of(
    diff: Diff,
    folder: DiffFolder,
    second: str | None,
    corrupt: Source | None,
    reporter: Reporter,
    resources: Resources = USUAL,
) -> BlockTests:
    """Test the blocks of a diff under a second corruption, or read the kept test.

    Raises
    ------
    UsageError, InputError
        See ``confirm_blocks`` and ``second_corruption``.
    """
    run = diff.runs_a[0]
    recorrupt = as_asked(run, second, corrupt)
    asked = _question(recorrupt(run))
    kept = folder.record(diff.id).get("blocks")
    if kept is not None and kept["asked"] == asked:
        table = tested_blocks(folder, diff.id)
        if table is not None:
            return BlockTests(diff, table, kept["summary"])
    found = confirm_blocks(diff, recorrupt, reporter, resources)
    folder.keep_blocks(diff.id, found.table, {"asked": asked, "summary": found.summary})
    return found


def as_asked(run: Run, second: str | None, corrupt: Source | None) -> Recorrupt:
    """The chosen second corruption, checked before any long work."""
    if run.kind != "effect":
        raise UsageError("blocks are tested for the effect lens between two variants")
    return second_corruption(run, second, None if corrupt is None else read_prompts(corrupt))


def tested_blocks(folder: DiffFolder, diff: str) -> pd.DataFrame | None:
    """The latest kept test of a diff's blocks; None without one.

    Raises
    ------
    InputError
        The file is damaged.
    """
    return get(folder.file(diff, "blocks.parquet"), pd.DataFrame, "test again")


def _question(told: Run) -> dict[str, Any]:
    """All that determines the result of the test."""
    texts = (json.dumps(asdict(replace(prompt, tokens=None))) for prompt in told.prompts)
    return {"second": told.method.ablation, "prompts": digest("texts", *texts)}
