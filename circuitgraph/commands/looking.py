"""Commands that list the workspace: edges, variants, runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import click

from circuitgraph.base.components import EdgeKind
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    remark,
    settings,
)

if TYPE_CHECKING:
    from circuitgraph.base.frames import Rows


@click.command()
@click.argument("name")
@click.option(
    "--kind", type=click.Choice(get_args(EdgeKind)), help="One kind only [default: both]."
)
@output_options
@global_options
def edges(name: str, kind: EdgeKind | None, output: Output) -> None:
    """Edges of a variant with weights, intervals and tests against 0.

    \b
    Example:
      circuitgraph edges base --kind effect --format csv
    """
    table = settings().open().edges(name, kind)

    def text(width: int) -> str:
        from circuitgraph.commands.views import edges_view  # other formats need no view

        return edges_view(table, width)

    output.view(table, text)


@click.command()
@output_options
@global_options
def variants(output: Output) -> None:
    """The variants of the workspace.

    \b
    Example:
      circuitgraph variants
    """
    _show_or_say(settings().catalogue().variant_rows(), output)


@click.command()
@output_options
@global_options
def runs(output: Output) -> None:
    """The runs of the workspace, oldest first, with the ids that --run takes.

    \b
    Example:
      circuitgraph runs --json
    """
    _show_or_say(settings().catalogue().run_rows(), output)


def _show_or_say(rows: Rows, output: Output) -> None:
    """Print rows; name the folder of an empty workspace, which is often not the intended one."""
    output.show(rows)
    if not rows:
        remark(
            f"the workspace {settings().workspace} is empty: circuitgraph ingest fills it, "
            "--workspace DIR chooses another"
        )


COMMANDS = (edges, variants, runs)
