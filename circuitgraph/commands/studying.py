"""The command study: three questions about moral fine-tuning, answered on one model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from circuitgraph.commands.options import global_options, read_seconds, settings
from circuitgraph.commands.typed import PATH, options_of
from circuitgraph.study.design import Design


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


COMMANDS = (study,)
