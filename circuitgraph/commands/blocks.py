"""The command blocks: blocks of claims tested as circuits."""

from __future__ import annotations

from typing import Any

import click
import numpy as np
import pandas as pd

from circuitgraph.base.errors import short
from circuitgraph.base.frames import to_text
from circuitgraph.commands.comparing import INSUFFICIENT
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    resource_options,
    settings,
    terminal_width,
)
from circuitgraph.commands.typed import PATH, options_of
from circuitgraph.commands.views import WHERE
from circuitgraph.interventions.patching import BlockTests
from circuitgraph.workspace import Workspace

SHOWN = 15
"""Blocks that somebody reads."""

_READ = [
    *("block", "members", "set_a", "set_b", "sum_a", "sum_b", "change", "q", "verdict"),
    *("corrupt_dependent", "moved_into_a", "moved_into_b"),
]


@click.command()
@click.argument("a")
@click.argument("b")
@options_of(
    Workspace.blocks,
    *("second", "corrupt"),
    corrupt={"type": PATH, "metavar": "FILE"},
)
@options_of(
    Workspace.diff,
    *("run", "margin", "alpha"),
    run={"metavar": "A_ID:B_ID"},
    margin={"help": "Smallest change that matters [default: 0.01 of effect shares]."},
)
@resource_options
@output_options
@global_options
def blocks(a: str, b: str, output: Output, **options: Any) -> int:
    """Test the claims of an effect diff as circuits: blocks of correlated changes.

    All edges of a block are patched together in both variants (set, beside the sum of their
    single effects), again under a second corruption, and across models: its receivers read
    the other variant's senders along its edges (moved, as a share of the gap between the
    decisions). Exit code 3: the evidence is insufficient for any claim.

    \b
    Example:
      circuitgraph blocks base tuned
      circuitgraph blocks base tuned --corrupt other-corruptions.jsonl -o blocks.csv
    """
    result = settings().open().blocks(a, b, **options)
    if not output.for_reading:
        output.show(result.table)
    elif len(result.table):
        click.echo(blocks_view(result.table, terminal_width()), nl=False)
    for line in summary_lines(result):
        settings().reporter.remark(line)
    return INSUFFICIENT if result.diff.insufficient else 0


def blocks_view(table: pd.DataFrame, width: int) -> str:
    """Blocks that change most first."""
    order = np.argsort(-table["change"].abs().to_numpy(), kind="stable")
    text = to_text(table[_READ].iloc[order[:SHOWN]], "table", width=width)
    if len(table) > SHOWN:
        text += f"{SHOWN} of {len(table)} blocks, the largest change first; all rows: {WHERE}\n"
    return text


def summary_lines(result: BlockTests) -> list[str]:
    """What became of the blocks, in sentences."""
    diff, told = result.diff, result.summary
    name = f"{short(diff.a)} → {short(diff.b)}"
    if diff.insufficient:
        n = diff.summary["n_effective"]
        return [f"{name}: cannot tell, the evidence is insufficient (n_effective {n})"]
    if not told["blocks"]:
        return [f"{name}: no edge is claimed to differ, so there is no block to test"]
    by = "other corrupt texts" if told["second"] == "corrupt" else f"{told['second']} ablation"
    return [
        f"{name}: {told['claims']} claims in {told['blocks']} blocks; patched together, "
        f"{told['confirmed']} change beyond a margin of {told['margin']:g}; "
        f"{told['corrupt_dependent']} depend on the corruption (second: {by})",
        "the blocks were chosen on the same prompts: confirmed says that the edges act together, "
        "not that other prompts would show it",
        *(_moved(result, into, source) for into, source in (("a", "b"), ("b", "a"))),
    ]


def _moved(result: BlockTests, into: str, source: str) -> str:
    """The block that carries most of the gap in one direction."""
    names = [short(getattr(result.diff, side)) for side in (source, into)]
    start = f"moved from {names[0]} into {names[1]}"
    if not result.summary[f"gap_into_{into}"]:
        return f"{start}: they decide alike, there is no gap to carry"
    column = f"moved_into_{into}"
    best = result.table.iloc[int(np.nanargmax(result.table[column].abs()))]
    return (
        f"{start}: block {best['block']} carries most, {best[column]:.0%} of the gap "
        f"[{best[f'{column}_low']:.0%}, {best[f'{column}_high']:.0%}], and flips "
        f"{best[f'{column}_flips']} of {result.summary['disagree']} decisions in dispute"
    )


COMMANDS = (blocks,)
