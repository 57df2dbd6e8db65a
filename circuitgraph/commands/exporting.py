"""The command export: files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from circuitgraph.base.errors import UsageError
from circuitgraph.commands.options import global_options, settings
from circuitgraph.export import import_command
from circuitgraph.lenses.registry import lens_names


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["gexf", "graphml", "csv", "cx2", "neuronpedia", "mib", "neo4j-admin"]),
    help="gexf and csv for Gephi, cx2 for Cytoscape, neuronpedia for its graph viewer, mib for "
    "EAP-IG, MIB and CircuitKIT, neo4j-admin for an offline import [default: the file's ending].",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    required=True,
    help="The file; for csv, neo4j-admin or several names, the folder.",
)
@click.option(
    "--lens",
    type=click.Choice(lens_names()),
    help="Of diffs A:B [default: effect where both have such runs, else correlation].",
)
@click.option("--kind", type=click.Choice(["correlation", "effect"]), help="Edges of variants.")
@click.option("--top", type=click.IntRange(min=1), help="So many edges of the largest size.")
@click.option("--min", "least", type=click.FloatRange(min=0), default=0.0, help="Smallest size.")
@global_options
def export(
    names: tuple[str, ...], format_: str | None, output: Path, lens: str | None, **chosen: Any
) -> None:
    """Write variants, or the claims of a diff (A:B), for Gephi, Cytoscape and others.

    \b
    Example:
      circuitgraph export base -o base.gexf --kind effect --top 200
      circuitgraph export base:tuned -o rewired.graphml
      circuitgraph export --format neo4j-admin -o import

    For neo4j-admin, no names mean the whole graph; the import command is printed.
    """
    if not names and format_ != "neo4j-admin":
        raise UsageError("name what to export; circuitgraph variants lists them")
    paths = settings().open().export(names, format_, output, lens=lens, **chosen)
    if format_ == "neo4j-admin":
        settings().reporter.remark("stop the server, then run as the user it runs as:")
        click.echo(import_command(paths))
        return
    for path in paths:
        click.echo(str(path))


COMMANDS = (export,)
