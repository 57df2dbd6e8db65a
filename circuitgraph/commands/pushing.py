"""Commands that copy or rebuild whole graphs: push, pull, rebuild."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from circuitgraph.commands.options import global_options, settings
from circuitgraph.store import Copied


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
    _tell(settings().open().push())


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
    _tell(copied)
    if copied.runs:
        settings().reporter.remark(
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
        settings().reporter.remark(
            "the old graph could not be read: what had been pulled from a server, pull brings again"
        )
    if settings().as_json:
        click.echo(json.dumps(asdict(built)))
        return
    click.echo(f"{built.runs} runs and {built.diffs} diffs are in the graph again")


def _tell(copied: Copied) -> None:
    if settings().as_json:
        click.echo(json.dumps(asdict(copied)))
        return
    click.echo(
        f"{copied.runs} runs and {copied.diffs} diffs copied ({copied.edges} relationships), "
        f"{copied.there} were there"
    )


COMMANDS = (push, pull, rebuild)
