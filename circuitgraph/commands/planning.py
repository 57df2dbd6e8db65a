"""The command plan: what a design can show, before it costs anything."""

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
    settings,
    terminal_width,
)
from circuitgraph.lenses.registry import lens_names
from circuitgraph.stats.power import CHANGED


@click.command()
@click.argument("model", required=False)
@click.option("--prompts", metavar="N|FILE", help="Distinct prompts, or their file [default: 100].")
@click.option("--scenarios", type=int, help="Scenarios [default: those of the file, else 5].")
@click.option("--seeds", type=int, default=3, show_default=True, help="Variants a side.")
@click.option("--edges", type=int, help="Edges tested [default: of MODEL or pilot, else 200].")
@click.option("--pilot", metavar="A:B", help="Variants or recipes to measure noise on.")
@click.option("--lens", type=click.Choice(lens_names()), help="One lens only [default: all].")
@click.option("--power", type=float, default=0.8, show_default=True, help="How often it is seen.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="False discovery rate.")
@click.option("--margin", type=float, help="Smallest change that matters; needs --lens.")
@click.option(
    "--changed",
    type=float,
    default=CHANGED,
    show_default=True,
    help="Share of edges expected to change.",
)
@click.option(
    "--tokens", type=int, default=100, show_default=True, help="Of a prompt, without a file."
)
@click.option("--split-inputs", is_flag=True, help="Effects of q, k and v one by one.")
@output_options
@global_options
def plan(output: Output, **options: Any) -> None:
    """What a design can show: prompts, scenarios, seeds → the smallest visible change.

    By the test of diff itself, for each lens and scope, and for more prompts or seeds than
    asked. With MODEL also hours and bytes; its weights are not read. With --pilot the noise
    is that of runs in the workspace, else that of the shipped example, and said to be so.

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
        for remark in result.remarks:
            settings().reporter.remark(remark)


COMMANDS = (plan,)
