"""The command plan: power and cost of a design."""

from __future__ import annotations

from typing import Any

import click

from circuitgraph.base.frames import to_text
from circuitgraph.base.progress import human_bytes, human_seconds
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    prose,
    remark,
    settings,
    terminal_width,
)
from circuitgraph.commands.typed import options_of
from circuitgraph.lenses.registry import lens_names
from circuitgraph.workspace import Workspace


@click.command()
@click.argument("model", required=False)
@options_of(
    Workspace.plan,
    *("prompts", "scenarios", "seeds", "edges", "pilot", "lens", "power", "alpha", "margin"),
    *("changed", "tokens", "split_inputs"),
    prompts={"metavar": "N|FILE", "type": str},
    pilot={"metavar": "A:B"},
    lens={"type": click.Choice(lens_names())},
)
@output_options
@global_options
def plan(output: Output, **options: Any) -> None:
    """Power of a design: the smallest change that diff detects with these prompts and seeds.

    For each lens and scope, and for more prompts or seeds. With MODEL also hours and bytes
    (its weights are not read). The noise is that of the --pilot runs of the workspace, else
    that of the shipped example.

    \b
    Example:
      circuitgraph plan --prompts 120 --scenarios 5 --seeds 4
      circuitgraph plan ./base --prompts prompts.jsonl --pilot base:tuned-0
    """
    result = settings().open().plan(**options)
    if output.for_reading:
        shown = result.table.drop(columns="margin").dropna(axis=1, how="all")
        if "hours" in shown:
            hours = shown.pop("hours")
            shown["time"] = ["" if h != h else human_seconds(3600 * h) for h in hours]
            shown["bytes"] = ["" if b != b else human_bytes(b) for b in shown.pop("bytes")]
        click.echo(to_text(shown, "table", width=terminal_width()), nl=False)
        prose(result.remarks)
    else:
        output.show(result.table)
        remark(*result.remarks)


COMMANDS = (plan,)
