"""Commands before a study: power and cost of a design, pairs of models with known changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from circuitgraph.base.errors import UsageError
from circuitgraph.base.frames import to_text
from circuitgraph.base.progress import human_bytes, human_seconds
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    prose,
    remark,
    settings,
    show,
    terminal_width,
)
from circuitgraph.commands.typed import options_of
from circuitgraph.lenses.registry import lens_names
from circuitgraph.workspace import Workspace


@click.command()
@click.argument("model", required=False)
@options_of(
    Workspace.plan,
    *("prompts", "scenarios", "seeds", "edges", "pilot", "lens", "power", "alpha", "margin"),
    *("changed", "tokens", "split_inputs"),
    prompts={"metavar": "N|FILE", "type": str},
    pilot={"metavar": "A:B"},
    lens={"type": click.Choice(lens_names())},
)
@output_options
@global_options
def plan(output: Output, **options: Any) -> None:
    """Power of a design: the smallest change that diff detects with these prompts and seeds.

    For each lens and scope, and for more prompts or seeds. With MODEL also hours and bytes
    (its weights are not read). The noise is that of the --pilot runs of the workspace, else
    that of the shipped example.

    \b
    Example:
      circuitgraph plan --prompts 120 --scenarios 5 --seeds 4
      circuitgraph plan ./base --prompts prompts.jsonl --pilot base:tuned-0
    """
    result = settings().open().plan(**options)
    if output.for_reading:
        shown = result.table.drop(columns="margin").dropna(axis=1, how="all")
        if "hours" in shown:
            hours = shown.pop("hours")
            shown["time"] = ["" if h != h else human_seconds(3600 * h) for h in hours]
            shown["bytes"] = ["" if b != b else human_bytes(b) for b in shown.pop("bytes")]
        click.echo(to_text(shown, "table", width=terminal_width()), nl=False)
        prose(result.remarks)
    else:
        output.show(result.table)
        remark(*result.remarks)


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
    remark(f"A: {pair.folder_a}  B: {pair.folder_b}")


COMMANDS = (plan, plant)
