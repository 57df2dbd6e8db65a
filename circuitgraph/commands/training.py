"""The command train: LoRA adapters trained by rewards in games."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from circuitgraph.commands.hints import hint
from circuitgraph.commands.options import global_options, settings, show
from circuitgraph.commands.typed import PATH, options_of
from circuitgraph.games.opponents import OPPONENTS
from circuitgraph.games.payoffs import games_named
from circuitgraph.games.rewards import NULLS, REWARDED, recipe_named
from circuitgraph.training.request import TrainRequest

SHOWN = (
    *("adapter", "game", "state", "n", "base", "p", "reward", "gain", "low", "high", "target"),
    *("legal", "learnt"),
)


RECIPES = f"{', '.join((*REWARDED, *NULLS))}, a TOML file of rewards, or a .py file (trl)."


@click.command()
@click.argument("model", type=PATH)
@click.option("--recipe", required=True, help=RECIPES)
@click.option("--prompts", type=PATH, required=True, help="Game prompts (prompts make game).")
@click.option("--out", "-o", type=PATH, required=True, help="Folder for RECIPE-0, RECIPE-1, ….")
@options_of(
    TrainRequest,
    *("seeds", "rank", "components", "layers", "steps", "beta", "reference", "opponent", "rate"),
    *("groups", "games", "adapter", "trainer", "samples", "tokens", "device"),
    components={"metavar": "L2_MLP,…"},
    layers={"metavar": "11-23"},
    beta={"show_default": False},
    opponent={"type": click.Choice(list(OPPONENTS))},
    games={"flags": ("--game",), "metavar": "FILE.toml", "default": None},
)
@global_options
def train(
    model: Path, prompts: Path, out: Path, recipe: str, games: str | None, **options: Any
) -> int:
    """Train LoRA adapters by reward, one per seed, and test them on held-out wordings.

    The optimal policy is known in closed form, π(a) ∝ reference(a) exp(r(a)/β), and the loss
    is KL(π ‖ model) over the whole vocabulary, for all four states of a wording. Null
    recipes: self (the base's own answers), random (a reward drawn anew for every text).
    With --trainer trl answers are sampled instead (GRPO), and RECIPE may be a Python file of
    your own whose function reward(prompts, completions, **columns) scores any completions.
    After an interruption, repeat the command. Exit code 3: a recipe was not learnt.

    \b
    Example:
      circuitgraph train ./base --recipe hybrid --prompts ipd.jsonl -o trained
      circuitgraph train ./base --recipe utilitarian --components L2_MLP --prompts ipd.jsonl -o l2
    """
    from circuitgraph.training.train import train as run

    known = {} if games is None else {game.name: game for game in games_named(games)}
    request = TrainRequest(recipe=recipe_named(recipe), games=known, **options)
    done = run(model, prompts, out, request, settings().reporter)
    rows = [
        {name: row[name] for name in SHOWN if name in row} for one in done for row in one.rows()
    ]
    show(rows)
    first = done[0].folder
    told = ("--name", first.name, "--recipe", request.recipe.name, "--prompts", prompts)
    hint("ingest", model, "--adapter", first, *told)
    return 3 if any(one.learnt is False for one in done) else 0


COMMANDS = (train,)
