"""The command levels: how alike two variants are, level by level."""

from __future__ import annotations

from typing import Any

import click

from circuitgraph.commands.options import Output, global_options, output_options, prose, settings
from circuitgraph.lenses.registry import lens_names


@click.command()
@click.argument("a")
@click.argument("b")
@click.option(
    "--null",
    multiple=True,
    metavar="A:B|random[:K]",
    help="A pair known not to differ, or A moved K times (4) at random as far as B is from it; "
    "repeatable.",
)
@click.option(
    "--seeds",
    multiple=True,
    metavar="A:B",
    help="Two seeds of one recipe; repeatable [default: A and B, each with another seed of its "
    "recipe].",
)
@click.option(
    "--lens",
    multiple=True,
    type=click.Choice(lens_names()),
    help="A lens by which interactions are compared; repeatable [default: all].",
)
@click.option(
    "--no-measure",
    "measure",
    flag_value=False,
    default=True,
    type=bool,
    help="Tell what is kept, and of the rest that it was not measured.",
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
