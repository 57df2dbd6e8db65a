"""The command levels: how alike two variants are, level by level."""

from __future__ import annotations

from typing import Any

import click

from circuitgraph.commands.options import Output, global_options, output_options, prose, settings
from circuitgraph.commands.typed import SEVERAL, options_of
from circuitgraph.lenses.registry import lens_names
from circuitgraph.workspace import Workspace


@click.command()
@click.argument("a")
@click.argument("b")
@options_of(
    Workspace.levels,
    *("null", "seeds", "lens", "measure"),
    null=SEVERAL | {"metavar": "A:B|random[:K]", "default": ()},
    seeds=SEVERAL | {"metavar": "A:B"},
    lens=SEVERAL | {"type": click.Choice(lens_names())},
    measure={"flags": ("--measure/--no-measure",)},
)
@output_options
@global_options
def levels(a: str, b: str, output: Output, **options: Any) -> None:
    """How alike two variants are by weights, attention, behaviour and edges.

    Beside every number stands what null pairs and two seeds of one recipe give: "99.99% alike"
    says nothing by itself.

    \b
    Example:
      circuitgraph levels base tuned --null base:control
      circuitgraph levels base tuned --null random:4 --lens effect
    """
    seeds = options.pop("seeds") or None
    lens = options.pop("lens") or None
    found = settings().open().levels(a, b, seeds=seeds, lens=lens, **options)
    if not output.for_reading:
        output.show(found.table)
        return
    prose(found.lines)


COMMANDS = (levels,)
