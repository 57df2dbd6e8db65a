"""The command steer: a direction between two variants, added to a run."""

from __future__ import annotations

from typing import Any

import click

from circuitgraph.base.frames import to_text
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    settings,
    terminal_width,
)


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--into", required=True, metavar="NAME", help="The variant that runs.")
@click.option("--at", required=True, metavar="NAMES", help="Components, with commas.")
@click.option(
    "--strength",
    default="-2:2:9",
    show_default=True,
    metavar="FROM:TO:N",
    help="In units of each component's own mean norm; one number alone is one strength.",
)
@click.option(
    "--positions",
    type=click.Choice(["all", "last"]),
    default="all",
    show_default=True,
    help="All of the prompt's tokens, or the last alone.",
)
@click.option("--random", type=int, default=20, show_default=True, help="Random directions beside.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of these.")
@output_options
@global_options
def steer(a: str, b: str, output: Output, **options: Any) -> None:
    """Does the direction from A to B move what another variant decides?

    Strengths below 0 lead from B to A; asymmetry is the sum of a strength's effect and that of
    its opposite.

    \b
    Example:
      circuitgraph steer base tuned --into base --at L2_MLP --strength -2:2:9
    """
    found = settings().open().steer(a, b, **options)
    output.show(found.table)
    s = found.summary
    settings().reporter.remark(
        f"{s['interventions']} interventions of {s['tried']} changed something"
    )
    if output.for_reading:
        text = to_text(found.washout.round(3), "table", width=terminal_width())
        click.echo("share left along the direction at the largest strength:\n" + text, nl=False)


COMMANDS = (steer,)
