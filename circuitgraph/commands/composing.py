"""The command compose: composition scores from weights."""

from __future__ import annotations

import click
import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.base.frames import to_text
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    settings,
    terminal_width,
)
from circuitgraph.commands.typed import options_of
from circuitgraph.commands.views import WHERE
from circuitgraph.workspace import Workspace

SHOWN = 8
"""Rows of each input that somebody reads."""


@click.command()
@click.argument("name")
@click.argument("other", required=False)
@options_of(Workspace.compose, "shared_basis")
@output_options
@global_options
def compose(name: str, other: str | None, shared_basis: bool, output: Output) -> None:
    """Composition scores between components, from weights alone.

    The score is ‖W_s W_r‖ / (‖W_s‖ ‖W_r‖) of Elhage et al. (2021): through the query, key
    and value of heads (q, k, v), and into MLPs and LOGITS (in). It needs no prompts and
    measures what could be read, not what is. Compare only scores of one input and kind of
    sender. With OTHER, delta is the relative change of the virtual weights, 0 to 1.

    \b
    Example:
      circuitgraph compose base
      circuitgraph compose base tuned -o composition.csv
      circuitgraph query composition --param variant=base
    """
    if shared_basis and other is None:
        raise UsageError("--shared-basis is about two variants; name OTHER")
    table = settings().open().compose(name, other, shared_basis=shared_basis)
    if output.for_reading:
        click.echo(composition_view(table, terminal_width()), nl=False)
    else:
        output.show(table)


def composition_view(table: pd.DataFrame, width: int) -> str:
    """The highest of each input: by change where there are two variants, else by score."""
    by = "delta" if "delta" in table else "weight"
    order = np.argsort(-table[by].to_numpy(), kind="stable")
    shown = table.iloc[order].groupby("input", sort=False).head(SHOWN)
    rank = {letter: i for i, letter in enumerate(("q", "k", "v", "in"))}
    shown = shown.sort_values("input", key=lambda s: s.map(rank), kind="stable")
    note = f"{len(shown)} of {len(table)} edges, those of highest {by} for each input; all: {WHERE}"
    return to_text(shown, "table", width=width) + f"{note}\n"


COMMANDS = (compose,)
