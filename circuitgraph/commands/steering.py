"""The command steer: the difference of two variants' activations, added to a run."""

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
from circuitgraph.commands.typed import options_of
from circuitgraph.workspace import Workspace


@click.command()
@click.argument("a")
@click.argument("b")
@options_of(
    Workspace.steer,
    *("into", "at", "strength", "positions", "random", "seed"),
    into={"required": True, "metavar": "NAME"},
    at={"required": True, "metavar": "NAMES"},
    strength={"metavar": "FROM:TO:N"},
)
@output_options
@global_options
def steer(a: str, b: str, output: Output, **options: Any) -> None:
    """Steer a variant with the difference of activations B − A, beside random directions.

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
