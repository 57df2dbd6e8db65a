"""Commands that write graphs for other programs: export."""

from __future__ import annotations

from pathlib import Path

import click

from circuitgraph.commands.options import global_options, settings


@click.command(short_help="Write graphs for Gephi, Cytoscape and others.")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["gexf", "graphml", "csv", "cx2"]),
    required=True,
    help="gexf and csv for Gephi, cx2 for Cytoscape.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    required=True,
    help="The file; for csv, or several names, the folder.",
)
@global_options
def export(names: tuple[str, ...], format_: str, output: Path) -> None:
    """Write variants, or the claims of a diff (A:B), for Gephi, Cytoscape and others.

    \b
    Example:
      circuitgraph export base --format gexf -o base.gexf
      circuitgraph export base:tuned --format graphml -o rewired.graphml
    """
    for path in settings().open().export(names, format_, output):
        click.echo(str(path))


COMMANDS = (export,)
