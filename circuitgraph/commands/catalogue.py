"""Commands that query the graph: query, cypher; and shell completion."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from click.shell_completion import get_completion_class

from circuitgraph.base.errors import UsageError
from circuitgraph.commands.options import (
    Output,
    global_options,
    key_values,
    output_options,
    remark,
    settings,
)

if TYPE_CHECKING:
    import pandas as pd


@click.command()
@click.argument("name", required=False)
@click.option("--list", "list_", is_flag=True, help="List all queries, or describe NAME.")
@click.option(
    "--param", multiple=True, metavar="K=V", help="Value of a parameter of NAME; repeatable."
)
@output_options
@global_options
def query(name: str | None, list_: bool, param: tuple[str, ...], output: Output) -> None:
    """Run a named query of the graph; every parameter has a default.

    \b
    Example:
      circuitgraph query --list
      circuitgraph query sign-flips --list
      circuitgraph query sign-flips --param limit=10
    """
    if list_:
        _explain(name)
    elif name is None:
        raise UsageError("name a query; circuitgraph query --list shows them")
    else:
        _show(settings().open().query(name, **key_values(param)), output)


def _show(table: pd.DataFrame, output: Output) -> None:
    """Print rows; where there are none, a remark beside the bare head."""
    output.show(table)
    if table.empty:
        remark("no rows: nothing in the graph matches")


def _explain(name: str | None) -> None:
    from circuitgraph.queries import catalogue_json, get_query

    entries = [e for e in catalogue_json() if name is None or e["name"] == get_query(name).name]
    if settings().as_json:
        click.echo(json.dumps(entries, indent=1))
        return
    width = max(len(entry["name"]) for entry in entries)
    for entry in entries:
        click.echo(f"{entry['name']:<{width}}  {entry['summary']}")
    for parameter in entries[0]["parameters"] if name is not None else ():
        default = parameter["default"] if parameter["default"] != "" else "any"
        click.echo(f"  --param {parameter['name']}=…  {parameter['meaning']} [default: {default}]")


@click.command()
@click.argument("text")
@click.option("--param", multiple=True, metavar="K=V", help="Value of $K, as text; repeatable.")
@output_options
@global_options
def cypher(text: str, param: tuple[str, ...], output: Output) -> None:
    """Run a read-only Cypher statement on the graph.

    \b
    Example:
      circuitgraph cypher 'MATCH (v:Variant) RETURN v.name ORDER BY v.name'
      circuitgraph cypher 'MATCH (r:Run {variant: $name}) RETURN r.id' --param name=base
    """
    _show(settings().open().cypher(text, key_values(param)), output)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@global_options
def completion(shell: str) -> None:
    """Print the completion script of a shell.

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
