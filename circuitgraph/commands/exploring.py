"""The command that shows a workspace in the browser."""

from __future__ import annotations

import click

from circuitgraph.commands.options import global_options, settings
from circuitgraph.commands.typed import options_of
from circuitgraph.explore.serve import serve


@click.command()
@options_of(
    serve,
    *("port", "browser"),
    port={"type": click.IntRange(0, 65535), "show_default": False},
    browser={"flags": ("--open",)},
)
@global_options
def explore(port: int, browser: bool) -> None:
    """Serve the pages of all pairs, and a box for Cypher, on this machine until Ctrl-C.

    Only this machine can ask, and only with the token in the printed address. Cypher reads and
    never writes; a pair that was not compared before is, and is kept, as by diff.

    \b
    Example:
      circuitgraph explore --open
    """
    serve(settings().open(), port=port, browser=browser, tell=click.echo)


COMMANDS = (explore,)
