"""The command train: adapters that are taught what to do in a game."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from circuitgraph.commands.options import global_options, settings, show
from circuitgraph.games.opponents import OPPONENTS
from circuitgraph.games.payoffs import games_named
from circuitgraph.games.rewards import NULLS, REWARDED, recipe_named

PATH = click.Path(path_type=Path)
SHOWN = ("adapter", "game", "state", "n", "base", "p", "low", "high", "target", "legal", "learnt")


@click.command()
@click.argument("model", type=PATH)
@click.option("--recipe", required=True, help=f"{', '.join((*REWARDED, *NULLS))}, or a TOML file.")
@click.option("--prompts", type=PATH, required=True, help="With states: prompts make game.")
@click.option("--out", "-o", type=PATH, required=True, help="Folder for RECIPE-0, RECIPE-1, ….")
@click.option("--seeds", type=int, default=4, show_default=True, help="Variants, seeds 0 and up.")
@click.option("--rank", type=int, default=4, show_default=True, help="Of the LoRA matrices.")
@click.option("--components", metavar="L2_MLP,…", help="What is trained, by component.")
@click.option("--layers", metavar="11-23", help="What is trained, by layer [default: upper 2/3].")
@click.option("--steps", type=int, help="[default: 30; deontological and hybrid 60]")
@click.option("--beta", type=float, default=1 / 3, help="Price of a nat of divergence [1/3].")
@click.option(
    "--reference",
    type=click.Choice(["uniform", "base"]),
    default="uniform",
    show_default=True,
    help="Each move's share where no reward tells them apart.",
)
@click.option(
    "--opponent",
    type=click.Choice(list(OPPONENTS)),
    default="tit-for-tat",
    show_default=True,
    help="Whose next move rewards rest on.",
)
@click.option("--rate", type=float, default=2e-3, show_default=True, help="Learning rate.")
@click.option("--groups", type=int, default=2, show_default=True, help="Wordings a step.")
@click.option("--game", "games", metavar="FILE.toml", help="Payoffs of a game of your own.")
@click.option("--adapter", type=PATH, help="Go on from this adapter.")
@click.option(
    "--trainer",
    type=click.Choice(["exact", "trl"]),
    default="exact",
    show_default=True,
    help="exact scores every answer; trl would sample them.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@global_options
def train(
    model: Path, prompts: Path, out: Path, recipe: str, games: str | None, **options: Any
) -> int:
    """Teach a model a recipe: one LoRA adapter a seed, tested on wordings it never saw.

    The policy a reward asks for is known in closed form, π(a) ∝ reference(a) exp(r(a)/β), and
    the adapter is trained towards it: KL(π ‖ model) over the whole vocabulary, four states of
    a wording side by side. Null recipes: self (the base's own answers), random (a reward drawn
    anew for every text). Interrupted, the same command goes on. Exit code 3: a recipe was not
    learnt.

    \b
    Example:
      circuitgraph train ./base --recipe hybrid --prompts ipd.jsonl -o trained
      circuitgraph train ./base --recipe utilitarian --components L2_MLP --prompts ipd.jsonl -o l2
    """
    from circuitgraph.training.request import TrainRequest
    from circuitgraph.training.train import train as run

    known = {} if games is None else {game.name: game for game in games_named(games)}
    request = TrainRequest(recipe=recipe_named(recipe), games=known, **options)
    done = run(model, prompts, out, request, settings().reporter)
    rows = [{name: row[name] for name in SHOWN} for one in done for row in one.rows()]
    show(rows)
    return 3 if any(one.learnt is False for one in done) else 0


COMMANDS = (train,)
