"""Commands that change a forward pass: patch across models, steer, transplant weights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError, quoted, short
from circuitgraph.base.frames import to_text
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    remark,
    resource_options,
    settings,
    terminal_width,
)
from circuitgraph.commands.typed import options_of
from circuitgraph.commands.views import WHERE
from circuitgraph.workspace import Workspace

if TYPE_CHECKING:
    from circuitgraph.interventions.patching import CrossPatch

SHOWN = 15
"""Rows of each direction that somebody reads."""

_UNREAD = [
    *("source_variant", "variant", "raw", "n", "by", "enough"),
    *("asymmetry_low", "asymmetry_high", "asymmetry_p"),
]


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("into", metavar="INTO")
@click.option(
    "--nodes",
    "part",
    flag_value="components",
    default="components",
    help="Each component alone [default].",
)
@click.option("--edges", "part", flag_value="edges", help="Each single edge alone.")
@click.option(
    "--sets", "part", flag_value="sets", help="The smallest sufficient set of components (greedy)."
)
@click.option(
    "--routes",
    "part",
    flag_value="routes",
    help="Residual stream, attention or MLPs, layer by layer.",
)
@options_of(
    Workspace.patch,
    *("share", "by", "layers", "run"),
    layers={"metavar": "FIRST:LAST"},
    run={"metavar": "FROM_ID:INTO_ID"},
)
@resource_options
@output_options
@global_options
def patch(
    source: str, into: str, part: str, layers: str | None, output: Output, **options: Any
) -> None:
    """Patch activations of one variant into another's run, both ways, on the same prompts.

    At the prompt's positions a component's contribution in INTO is replaced by that in FROM;
    everything downstream is recomputed. Reports the change of the decision toward FROM's, the
    recovered share of the gap, and the decisions that flip. A head is patched alone.

    \b
    Example:
      circuitgraph patch base tuned
      circuitgraph patch base tuned --sets --share 0.9
      circuitgraph patch base tuned --routes --layers 0:2 -o routes.csv
    """
    chosen = None if layers is None else _layers(layers)
    result = settings().open().patch(source, into, parts=[part], layers=chosen, **options)
    table = getattr(result, part)
    output.view(table, lambda width: patch_view(table, part, width))
    remark(*summary_lines(result, part))


def _layers(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6}):(\d{1,6})", text, re.ASCII)
    if match is None:
        raise UsageError(f"--layers {quoted(text)}: write it as FIRST:LAST, such as 0:3")
    return int(match[1]), int(match[2])


def patch_view(table: pd.DataFrame, part: str, width: int) -> str:
    """Both directions, one after the other; the largest effects first where order means nothing."""
    if table.empty:
        return ""
    texts = []
    for (source, into), rows in table.groupby(["source_variant", "variant"], sort=False):
        shown = rows.drop(columns=_UNREAD, errors="ignore")
        if part in ("components", "edges"):
            order = np.argsort(-shown["effect"].abs().to_numpy(), kind="stable")
            shown = shown.iloc[order[:SHOWN]]
        texts.append(f"{short(source)} into {short(into)}\n{to_text(shown, 'table', width=width)}")
        if len(shown) < len(rows):
            texts[-1] += f"{len(shown)} of {len(rows)}, the strongest first; all rows: {WHERE}\n"
    return "\n".join(texts)


def summary_lines(result: CrossPatch, part: str) -> list[str]:
    """What there is to recover in each direction, and what the patch that does most recovers."""
    table = getattr(result, part)
    lines = []
    for way in result.summary.values():
        told = f"{short(way['source_variant'])} into {short(way['variant'])}: "
        own = table["variant"] == way["variant"]
        told += f"the decisions are {way['gap']:.3g} apart" if way["gap"] else "they decide alike"
        told += f", {way['disagree']} of {way['n']} prompts are decided differently"
        lines.append(told + _told(table[own], part))
    if "tried" in (way := result.summary["into"]):
        lines.append(f"{way['interventions']} interventions of {way['tried']} changed something")
    return lines


_PLACE = {
    "components": ("component",),
    "edges": ("source", "target", "input"),
    "routes": ("route", "first_layer", "last_layer"),
}


def _told(rows: pd.DataFrame, part: str) -> str:
    if rows.empty:
        return "; no set was found" if part == "sets" else ""
    if part == "sets":
        last = rows.iloc[-1]
        names = ", ".join(rows["component"])
        enough = "" if last["reached"] else ", which is not enough"
        return f"; with {names}: {_done(last)}{enough}"
    best = rows.iloc[int(np.argmax(rows["effect"].abs()))]
    where = " ".join(str(best[name]) for name in _PLACE[part])
    return f"; most by {where}: {_done(best)}"


def _done(row: pd.Series) -> str:
    share = "" if np.isnan(row["share"]) else f"{row['share']:.0%} of the gap, "
    return f"{share}{row['flips']} flips ({row['flips_to_source']} to the source's answer)"


@click.command()
@click.argument("a")
@click.argument("b")
@options_of(
    Workspace.steer,
    *("into", "at", "strength", "positions", "random", "seed"),
    into={"required": True, "metavar": "NAME"},
    at={"required": True, "metavar": "NAMES"},
    strength={"metavar": "FROM:TO:N"},
)
@output_options
@global_options
def steer(a: str, b: str, output: Output, **options: Any) -> None:
    """Steer a variant with the difference of activations B − A, beside random directions.

    Strengths below 0 lead from B to A; asymmetry is the sum of a strength's effect and that of
    its opposite.

    \b
    Example:
      circuitgraph steer base tuned --into base --at L2_MLP --strength -2:2:9
    """
    found = settings().open().steer(a, b, **options)
    output.show(found.table)
    s = found.summary
    remark(f"{s['interventions']} interventions of {s['tried']} changed something")
    if output.for_reading:
        text = to_text(found.washout.round(3), "table", width=terminal_width())
        click.echo("share left along the direction at the largest strength:\n" + text, nl=False)


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("into", metavar="INTO")
@options_of(
    Workspace.transplant,
    *("components", "layers", "each", "pairs"),
    components={"multiple": True, "metavar": "NAMES", "default": ()},
    layers={"metavar": "FIRST-LAST"},
)
@output_options
@global_options
def transplant(source: str, into: str, output: Output, **options: Any) -> None:
    """Decisions of INTO with the weights of some components of FROM, and the other way.

    A share of 1 is the whole gap between the two; back_share is that of the other direction, and
    asymmetry the difference of the two. With --pairs the table is of pairs: interaction is the
    share of both together minus the sum of each alone.

    \b
    Example:
      circuitgraph transplant tuned base --each
      circuitgraph transplant tuned base --components L2_MLP --layers 2-3
    """
    found = settings().open().transplant(source, into, **options)
    output.show(found.pairs if options["pairs"] else found.table)
    s = found.summary
    remark(
        f"decision of {s['source']} {s['decision_source']:+.3f}, of {s['into']} "
        f"{s['decision_into']:+.3f}; gap {s['gap']:.3f} nats; {s['interventions']} interventions "
        f"of {s['tried']} changed something",
        *s["remarks"],
    )


COMMANDS = (patch, steer, transplant)
