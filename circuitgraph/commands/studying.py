"""The command study: three questions about moral fine-tuning, answered on one model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from circuitgraph.commands.options import global_options, read_seconds, settings

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=PATH)
@click.option("--out", "-o", type=PATH, default=Path("study-output"), show_default=True,
              help="Adapters and workspaces.")  # fmt: skip
@click.option(
    "--pages", type=PATH, help="Folder of study.md and study/*.csv [default: that of -o]."
)
@click.option("--seeds", type=int, default=4, show_default=True, help="Variants a recipe.")
@click.option("--wordings", type=int, default=72, show_default=True, help="Of the game's prompts.")
@click.option("--rank", type=int, default=3, show_default=True, help="Of the LoRA matrices.")
@click.option("--layers", metavar="11-23", help="What is trained, by layer [default: upper 2/3].")
@click.option("--steps", type=int, help="Of training [default: 20; two recipes 80].")
@click.option("--part-seeds", type=int, default=2, show_default=True, help="Variants a part.")
@click.option("--draws", type=int, default=3, show_default=True, help="Random parts of each size.")
@click.option("--width", type=int, default=5, show_default=True, help="Layers of the band.")
@click.option("--heads/--no-heads", default=True, help="Also screen heads.  [default: heads]")
@click.option("--asked", type=int, default=6, show_default=True, help="Wordings compared on.")
@click.option("--estimator", default="auto", show_default=True, help="Of effects by layer.")
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
    from circuitgraph.study.design import Design
    from circuitgraph.study.run import run_study

    design = Design(model, out, **options)
    time = None if budget is None else read_seconds(budget)
    for line in run_study(design, pages or out, settings().reporter, time):
        click.echo(line)


COMMANDS = (study,)
