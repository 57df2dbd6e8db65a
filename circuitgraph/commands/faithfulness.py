"""The command faithfulness: faithfulness of circuits by size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from circuitgraph.base.errors import UsageError
from circuitgraph.base.frames import to_text
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    resource_options,
    settings,
    terminal_width,
)
from circuitgraph.commands.typed import options_of
from circuitgraph.interventions.circuits.faithfulness import RANKINGS, Faithfulness
from circuitgraph.interventions.circuits.ranking import SIZES
from circuitgraph.workspace import Workspace

SHOWN = ["share", "edges", "connected", "faithfulness", "low", "high"]
COMPARED = ["random", "random_low", "random_high"]


F = TypeVar("F", bound=Callable[..., Any])


def shares_option(usual: Sequence[float]) -> Callable[[F], F]:
    """--sizes: percentages with commas, as shares."""

    def shares(context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
        if text is None:
            return tuple(usual)
        try:
            return tuple(float(part.strip().rstrip("%")) / 100 for part in text.split(","))
        except ValueError as error:
            raise UsageError(
                f"--sizes {text!r}: write percentages with commas, such as 1,5,20"
            ) from error

    told = ",".join(f"{100 * size:g}" for size in usual)
    return click.option(
        "--sizes",
        metavar="PERCENT,…",
        callback=shares,
        help=f"Sizes of the circuits in % of all edges [default: {told}].",
    )


@click.command()
@click.argument("name")
@shares_option(SIZES)
@options_of(
    Workspace.faithfulness,
    *("random", "rank", "of", "run", "seed"),
    random={"type": click.IntRange(0)},
    rank={"type": click.Choice(RANKINGS)},
    of={"metavar": "NAME"},
    run={"metavar": "ID"},
)
@resource_options
@output_options
@global_options
def faithfulness(name: str, output: Output, **options: Any) -> None:
    """Faithfulness of circuits of a variant's strongest edges, by size.

    Edges outside the circuit carry the corrupt run (or its replacement by the ablation), and
    everything is recomputed. Faithfulness is 0 where no edge is clean and 1 where all are
    (MIB, Mueller et al. 2025). CPR is the area under it, CMD that between it and 1, from the
    smallest to the largest size.

    \b
    Example:
      circuitgraph faithfulness base
      circuitgraph faithfulness tuned --of base
      circuitgraph faithfulness tuned --rank signed --random 50 -o faithfulness.csv
    """
    result = settings().open().faithfulness(name, **options)
    if output.for_reading:
        columns = SHOWN + (COMPARED if options["random"] else [])
        click.echo(to_text(result.table[columns], "table", width=terminal_width()), nl=False)
        click.echo(_areas(result))
    else:
        output.show(result.table)
        settings().reporter.remark(_areas(result))
    for remark in result.summary["remarks"]:
        settings().reporter.remark(remark)


def _areas(result: Faithfulness) -> str:
    """CPR and CMD in one line, beside those of random edge sets."""
    first, last = result.table["share"].iloc[[0, -1]]
    if first == last:
        return "CPR and CMD need two sizes or more"
    told = ", ".join(f"{title.upper()} {_one(result.summary, title)}" for title in ("cpr", "cmd"))
    return f"{told} (areas from {100 * first:g}% to {100 * last:g}% of the edges)"


def _one(summary: dict[str, Any], title: str) -> str:
    own, drawn = (
        f"{summary[key]:z.3f} [{summary[f'{key}_low']:z.3f}, {summary[f'{key}_high']:z.3f}]"
        for key in (title, f"random_{title}")
    )
    return f"{own}, random {drawn}" if summary["random"] else own


COMMANDS = (faithfulness,)
