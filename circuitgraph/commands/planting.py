"""The command plant: pairs of models with known changed edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from circuitgraph.base.errors import UsageError
from circuitgraph.commands.options import global_options, settings, show


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    "out",
    type=click.Path(path_type=Path),
    required=True,
    help="New folder for the models (a and b) and the truth.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all random numbers.")
@click.option(
    "--edges",
    "k",
    metavar="K",
    type=click.IntRange(0),
    help="Plants, in turn off, on and flipped [default: 6 reads, or 2 written channels].",
)
@click.option(
    "--drift",
    metavar="S",
    type=float,
    default=0.0,
    show_default=True,
    help="Size of the random update on every matrix of B, as a share: .02 or .1 are realistic.",
)
@click.option(
    "--side",
    type=click.Choice(["read", "write"]),
    default="read",
    show_default=True,
    help="Change what a receiver reads, or what a sender writes to all its receivers.",
)
@click.option("--consequential", is_flag=True, help="Only plants with large effects.")
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    help="Prompt file on which scales are measured [default: random tokens].",
)
@click.option(
    "--rewrite",
    "kind",
    type=click.Choice(["value", "query", "neurons", "heads", "all"]),
    help="No plants: other weights that compute the same function.",
)
@global_options
def plant(model: Path, out: Path, seed: int, kind: str | None, **options: Any) -> None:
    """Write a pair of models with known changed edges, as ground truth for any measure.

    In a widened copy of MODEL (a) every component writes a private channel that later
    components may read; in b some are no longer read, newly read, or read with the other
    sign, and every matrix gets a random update (--drift). truth.csv lists these edges. No
    plants (--edges 0) or a rewrite give a null pair.

    \b
    Example:
      circuitgraph plant ./base -o planted --edges 6 --drift 0.02 --prompts prompts.jsonl
      circuitgraph plant ./base -o same --rewrite query
    """
    unused = [name for name, value in options.items() if value not in (None, False, 0.0, "read")]
    if kind is not None and (unused or options["k"] is not None):
        raise UsageError("--rewrite: makes no plants and no drift; leave the other options out")
    from circuitgraph.plant import plant as make
    from circuitgraph.plant import rewrite

    if kind is not None:
        pair = rewrite(model, out, kind=kind, seed=seed)
    else:
        pair = make(model, out, seed=seed, **options)
    show(pair.truth)
    settings().reporter.remark(f"A: {pair.folder_a}  B: {pair.folder_b}")


COMMANDS = (plant,)
