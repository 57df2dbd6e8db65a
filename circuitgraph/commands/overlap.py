"""The command overlap: do two circuits share more than chance gives."""

from __future__ import annotations

import click

from circuitgraph.base.frames import to_text
from circuitgraph.commands.faithfulness import shares_option
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    prose,
    settings,
    terminal_width,
)
from circuitgraph.commands.typed import options_of
from circuitgraph.interventions.circuits.overlap import SIZES
from circuitgraph.workspace import Workspace


@click.command()
@click.argument("name")
@click.argument("other", required=False)
@shares_option(SIZES)
@options_of(Workspace.overlap, "run", run={"metavar": "A_ID:B_ID"})
@output_options
@global_options
def overlap(
    name: str, other: str | None, sizes: tuple[float, ...], run: str | None, output: Output
) -> None:
    """Do the circuits of two prompt sets, or of two variants, share more edges than chance gives?

    A circuit is the strongest edges of an effect run. Without OTHER: NAME on its newest
    prompt set and on the newest other one. p is the chance of sharing as many where both
    circuits are drawn at random; p_within where each keeps how many edges it has into each
    receiver, so that agreeing on the receivers alone counts for nothing.

    \b
    Example:
      circuitgraph overlap base
      circuitgraph overlap base tuned --sizes 0.5,1,5
    """
    table = settings().open().overlap(name, other, sizes=sizes, run=run)
    if not output.for_reading:
        output.show(table)
        return
    shown = table.drop(columns=["run_a", "run_b"])
    click.echo(to_text(shown, "table", width=terminal_width()), nl=False)
    first = table.iloc[0]
    prose([f"runs {first['run_a'][:12]} and {first['run_b'][:12]}; p as each size stands alone"])


COMMANDS = (overlap,)
