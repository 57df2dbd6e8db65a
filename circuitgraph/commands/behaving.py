"""The command behave: what variants decide in games."""

from __future__ import annotations

from typing import Any

import click

from circuitgraph.behaviour.tables import BY
from circuitgraph.commands.options import Output, global_options, output_options, settings
from circuitgraph.games.opponents import OPPONENTS


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--games", metavar="NAMES", help="Make prompts of all, ipd,ish,…, or a TOML file.")
@click.option("--wordings", type=int, default=12, show_default=True, help="Of prompts made.")
@click.option(
    "--by", type=click.Choice(BY), help="What a row is [default: scenario; game where made]."
)
@click.option("--samples", type=int, default=0, help="Also draw so many answers a prompt.")
@click.option("--stored", is_flag=True, help="Only what runs hold; loads no model.")
@click.option(
    "--opponent",
    type=click.Choice(list(OPPONENTS)),
    default="random",
    show_default=True,
    help="Whose next move utilitarian regret rests on.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of samples.")
@output_options
@global_options
def behave(names: tuple[str, ...], output: Output, by: Any, **options: Any) -> None:
    """What variants decide in games: P(cooperate) by state and wording, beside their base.

    p is the probability of cooperation among legal answers, legal that of an answer that is
    either label, with or without a blank before it; low and high are its 95% interval over
    wordings. By game: the four states (own last move, then the other's), reciprocity
    P(C | C) − P(C | D), and regret as the study of moral alignment counts it.

    \b
    Example:
      circuitgraph behave hybrid-0 strategic-0
      circuitgraph behave hybrid-0 --games all --by game
    """
    found = settings().open().behave(names, **options)
    output.show(found.table(by or ("game" if options["games"] else "scenario")))


COMMANDS = (behave,)
