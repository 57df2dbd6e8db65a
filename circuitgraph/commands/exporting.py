"""The command export: files for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from circuitgraph.base.errors import UsageError
from circuitgraph.commands.options import global_options, settings
from circuitgraph.commands.typed import options_of
from circuitgraph.export import import_command
from circuitgraph.lenses.registry import lens_names
from circuitgraph.workspace import Workspace

if TYPE_CHECKING:
    from circuitgraph.workspace.workspace import Format


@click.command()
@click.argument("names", nargs=-1)
@options_of(
    Workspace.export,
    *("format", "path", "lens", "kind", "top", "least"),
    path={"flags": ("--output", "-o"), "required": True},
    lens={"type": click.Choice(lens_names())},
    top={"type": click.IntRange(min=1)},
    least={"flags": ("--min",), "type": click.FloatRange(min=0), "show_default": False},
)
@global_options
def export(names: tuple[str, ...], format: Format | None, **options: Any) -> None:
    """Write variants, or the claims of a diff (A:B), for Gephi, Cytoscape and others.

    \b
    Example:
      circuitgraph export base -o base.gexf --kind effect --top 200
      circuitgraph export base:tuned -o rewired.graphml
      circuitgraph export --format neo4j-admin -o import

    For neo4j-admin, no names mean the whole graph; the import command is printed.
    """
    if not names and format != "neo4j-admin":
        raise UsageError("name what to export; circuitgraph variants lists them")
    paths = settings().open().export(names, format, **options)
    if format == "neo4j-admin":
        settings().reporter.remark("stop the server, then run as the user it runs as:")
        click.echo(import_command(paths))
        return
    for path in paths:
        click.echo(str(path))


COMMANDS = (export,)
