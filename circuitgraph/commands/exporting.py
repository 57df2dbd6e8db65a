"""Commands that take the graph elsewhere: export, push, pull; and rebuild it from the runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from circuitgraph.base.errors import UsageError
from circuitgraph.commands.options import global_options, remark, settings
from circuitgraph.commands.typed import options_of
from circuitgraph.lenses.registry import lens_names
from circuitgraph.workspace import Workspace

if TYPE_CHECKING:
    from circuitgraph.store import Copied
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
        from circuitgraph.export import import_command

        remark("stop the server, then run as the user it runs as:")
        click.echo(import_command(paths))
        return
    for path in paths:
        click.echo(str(path))


@click.command()
@global_options
def push() -> None:
    """Copy the workspace's graph to the server given by --store.

    Runs and diffs that the server has are skipped; each appears there whole or not at all.
    After an interruption, repeat the command.

    \b
    Example:
      NEO4J_PASSWORD_FILE=~/.neo4j-password \\
        circuitgraph --store neo4j://localhost:7687 push
    """
    _tell_copied(settings().open().push())


@click.command()
@global_options
def pull() -> None:
    """Copy the graph of the server given by --store into the workspace.

    The graph holds what queries need, but no values per prompt: pulled runs can be
    queried, but not compared again.

    \b
    Example:
      circuitgraph --store neo4j://localhost:7687 pull
    """
    copied = settings().open().pull()
    _tell_copied(copied)
    if copied.runs:
        remark(
            "pulled runs hold no values of single prompts; to compare them anew, copy the runs "
            "folder of the workspace that measured them"
        )


@click.command()
@global_options
def rebuild() -> None:
    """Rebuild the embedded graph from the runs, diffs and patches of the workspace.

    For a graph file that cannot be opened. Runs pulled from a server are kept if the file
    can still be read; otherwise pull them again.

    \b
    Example:
      circuitgraph rebuild
    """
    built, whole = settings().open().rebuild()
    if not whole:
        remark(
            "the old graph could not be read: what had been pulled from a server, pull brings again"
        )
    _tell(built, "are in the graph again")


def _tell(found: Copied, what: str) -> None:
    """Print counts as JSON, or in a sentence."""
    words = f"{found.runs} runs and {found.diffs} diffs {what}"
    click.echo(json.dumps(asdict(found)) if settings().as_json else words)


def _tell_copied(copied: Copied) -> None:
    _tell(copied, f"copied ({copied.edges} relationships), {copied.there} were there")


COMMANDS = (export, push, pull, rebuild)
