"""Commands that show what is there: edges, variants, runs."""

from __future__ import annotations

from pathlib import Path

import click

from circuitgraph.commands.options import global_options, output_options, settings, show


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(["correlation", "effect"]), help="One kind only.")
@output_options
@global_options
def edges(name: str, kind: str | None, format_: str | None, output: Path | None) -> None:
    """The edges of a variant with weights, intervals and tests against 0.

    \b
    Example:
      circuitgraph edges base --kind effect --format csv
    """
    show(settings().open().edges(name, kind), format_, output)


@click.command()
@output_options
@global_options
def variants(format_: str | None, output: Path | None) -> None:
    """The variants of the workspace.

    \b
    Example:
      circuitgraph variants
    """
    show(settings().open().variants(), format_, output)


@click.command()
@output_options
@global_options
def runs(format_: str | None, output: Path | None) -> None:
    """The runs of the workspace, oldest first.

    \b
    Example:
      circuitgraph runs --json
    """
    show(settings().open().runs(), format_, output)


COMMANDS = (edges, variants, runs)
