"""The command behave: decisions of variants in games."""

from __future__ import annotations

from typing import Any

import click

from circuitgraph.behaviour.tables import BY
from circuitgraph.commands.options import Output, global_options, output_options, settings
from circuitgraph.commands.typed import options_of
from circuitgraph.games.opponents import OPPONENTS
from circuitgraph.workspace import Workspace


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--by",
    type=click.Choice(BY),
    help="What a row is [default: scenario; game for generated prompts].",
)
@options_of(
    Workspace.behave,
    *("games", "wordings", "samples", "stored", "opponent", "seed"),
    games={"metavar": "NAMES"},
    opponent={"type": click.Choice(list(OPPONENTS))},
)
@output_options
@global_options
def behave(names: tuple[str, ...], output: Output, by: Any, **options: Any) -> None:
    """Decisions of variants in games: P(cooperate) by state and wording, and of their base.

    p is the probability of cooperation among legal answers, with its 95% interval over
    wordings; legal is the probability of either label, with or without a leading blank. By
    game: the four states (own last move, then the other's), reciprocity P(C | C) − P(C | D),
    and regret as defined in the study of moral alignment (docs/lab.md).

    \b
    Example:
      circuitgraph behave hybrid-0 strategic-0
      circuitgraph behave hybrid-0 --games all --by game
    """
    found = settings().open().behave(names, **options)
    output.show(found.table(by or ("game" if options["games"] else "scenario")))


COMMANDS = (behave,)
