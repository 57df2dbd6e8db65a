"""Commands that ask the graph: query, cypher; and shell completion."""

from __future__ import annotations

import json
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from circuitgraph.commands.options import (
    global_options,
    key_values,
    output_options,
    settings,
    show,
)
from circuitgraph.errors import UsageError


@click.command()
@click.argument("name", required=False)
@click.option("--list", "list_", is_flag=True, help="Explain every query in a line.")
@click.option("--param", multiple=True, metavar="K=V", help="Value of a parameter; repeatable.")
@output_options
@global_options
def query(
    name: str | None,
    list_: bool,
    param: tuple[str, ...],
    format_: str | None,
    output: Path | None,
) -> None:
    """Ask a named question of the graph; every parameter has a default.

    \b
    Example:
      circuitgraph query --list
      circuitgraph query sign-flips --param limit=10
    """
    from circuitgraph.queries import catalogue_json

    if list_ or name is None:
        if not list_:
            raise UsageError("name a query; circuitgraph query --list shows them")
        entries = catalogue_json()
        if settings().as_json:
            click.echo(json.dumps(entries, indent=1))
        else:
            width = max(len(entry["name"]) for entry in entries)
            for entry in entries:
                click.echo(f"{entry['name']:<{width}}  {entry['summary']}")
        return
    show(settings().open().query(name, **key_values(param)), format_, output)


@click.command()
@click.argument("text")
@click.option("--param", multiple=True, metavar="K=V", help="Value of $K, as text; repeatable.")
@output_options
@global_options
def cypher(text: str, param: tuple[str, ...], format_: str | None, output: Path | None) -> None:
    """Ask the graph in Cypher; it is read, never written.

    \b
    Example:
      circuitgraph cypher 'MATCH (v:Variant) RETURN v.name ORDER BY v.name'
    """
    show(settings().open().cypher(text, key_values(param)), format_, output)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@global_options
def completion(shell: str) -> None:
    """Print the shell's completion script.

    \b
    Example:
      eval "$(circuitgraph completion bash)"
    """
    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"no completion for {shell}")
    root = click.get_current_context().find_root().command
    click.echo(found(root, {}, "circuitgraph", "_CIRCUITGRAPH_COMPLETE").source())


COMMANDS = (query, cypher, completion)
