"""Commands that train: LoRA adapters by reward, and the whole study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from circuitgraph.commands.hints import hint
from circuitgraph.commands.options import (
    global_options,
    read_seconds,
    settings,
    show,
)
from circuitgraph.commands.typed import PATH, options_of
from circuitgraph.games.opponents import OPPONENTS
from circuitgraph.games.payoffs import games_named
from circuitgraph.games.rewards import NULLS, REWARDED, recipe_named
from circuitgraph.study.design import Design
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


@click.command()
@click.argument("model", type=PATH)
@click.option("--out", "-o", type=PATH, default=Path("study-output"), show_default=True,
              help="Adapters and workspaces.")  # fmt: skip
@click.option(
    "--pages", type=PATH, help="Folder of study.md and study/*.csv [default: that of -o]."
)
@options_of(
    Design,
    *("seeds", "wordings", "rank", "layers", "steps", "part_seeds", "draws", "width", "heads"),
    *("asked", "estimator", "device"),
    seeds={"help": "Variants a recipe."},
    wordings={"help": "Of the game's prompts."},
    rank={"help": "Of the LoRA matrices."},
    layers={"metavar": "11-23", "help": "What is trained, by layer [default: upper 2/3]."},
    steps={"help": "Of training [default: 20; two recipes 80]."},
    part_seeds={"help": "Variants a part."},
    draws={"help": "Random parts of each size."},
    width={"help": "Layers of the band."},
    heads={"flags": ("--heads/--no-heads",), "help": "Also screen heads."},
    asked={"help": "Wordings compared on."},
    estimator={"help": "Of effects by layer."},
    device={"help": "Of training and effects: cpu, cuda, cuda:1 or mps."},
)
@click.option("--budget", metavar="TIME", help="Begin nothing new after this (90m, 2h).")
@global_options
def study(model: Path, out: Path, pages: Path | None, budget: str | None, **options: Any) -> None:
    """Four recipes and two nulls trained on a game, compared, and three questions answered.

    Were selfish edges suppressed or bypassed; do recipes use distinct circuits, beyond seeds and
    nulls; does training one component, or the band that changed, suffice. Says the hours first.
    Interrupted, the same command goes on. OUT/prompts.jsonl is made for the model, or is your own.

    \b
    Example:
      circuitgraph study ./smollm2 --out study-output
      circuitgraph study ./smollm2 --out study-output --budget 2h
    """
    from circuitgraph.study.run import run_study

    design = Design(model, out, **options)
    time = None if budget is None else read_seconds(budget)
    for line in run_study(design, pages or out, settings().reporter, time):
        click.echo(line)


COMMANDS = (train, study)
