"""Commands about components and whole variants: nodes, compose, levels, behave."""

from __future__ import annotations

from functools import partial
from typing import Any

import click
import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.base.frames import to_text
from circuitgraph.behaviour.tables import BY
from circuitgraph.commands.comparing import INSUFFICIENT
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    prose,
    remark,
    settings,
)
from circuitgraph.commands.typed import SEVERAL, options_of
from circuitgraph.commands.views import WHERE
from circuitgraph.games.opponents import OPPONENTS
from circuitgraph.lenses.registry import lens_names
from circuitgraph.nodes.measures import NAMES
from circuitgraph.workspace import Workspace


@click.command()
@click.argument("name")
@click.argument("other", required=False)
@options_of(
    Workspace.nodes,
    *("measure", "scope", "margin", "alpha", "label", "groups", "prompts"),
    measure={"type": click.Choice(NAMES)},
    label={"metavar": "COLUMN"},
    groups={"metavar": "COLUMN"},
)
@output_options
@global_options
def nodes(name: str, other: str | None, output: Output, **options: Any) -> int:
    """Measure the components of a variant; with OTHER, test where the measure changed.

    Exit code 3: the evidence is insufficient for any claim.

    \b
    Example:
      circuitgraph nodes base --measure attribution
      circuitgraph nodes base tuned --measure logit-lens
    """
    workspace = settings().open()
    if other is None:
        output.show(workspace.nodes(name, **options))
        return 0
    found = workspace.nodes(name, other, **options)
    output.show(_claims_first(found.table) if output.for_reading else found.table)
    s = found.summary
    beyond = f" beyond a margin of {s['margin']:.3g}" if s.get("margin") else ""
    remark(
        f"{s['measure']}: {s['n_claims']} of {s['n_testable']} nodes differ{beyond}, evidence "
        f"{s['evidence']}",
        *(f"{s['measure']}: {key} {value}" for key, value in s.get("facts", {}).items()),
    )
    if "parts" in s:
        from circuitgraph.nodes.parting import in_words

        remark(in_words(s["parts"]))
    return INSUFFICIENT if s["evidence"] == "insufficient" else 0


def _claims_first(table: pd.DataFrame) -> pd.DataFrame:
    """Claims above all else, each by size: what people read from the top."""
    from circuitgraph.nodes.compare import CLAIMS

    claimed, size = table["verdict"].isin(CLAIMS), table["change"].abs()
    order = table.assign(claimed=claimed, size=size).sort_values(
        ["claimed", "size"], ascending=False, kind="stable"
    )
    return table.loc[order.index]


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
    output.view(table, partial(composition_view, table))


def composition_view(table: pd.DataFrame, width: int) -> str:
    """The highest of each input: by change where there are two variants, else by score."""
    by = "delta" if "delta" in table else "weight"
    order = np.argsort(-table[by].to_numpy(), kind="stable")
    shown = table.iloc[order].groupby("input", sort=False).head(SHOWN)
    rank = {letter: i for i, letter in enumerate(("q", "k", "v", "in"))}
    shown = shown.sort_values("input", key=lambda s: s.map(rank), kind="stable")
    note = f"{len(shown)} of {len(table)} edges, those of highest {by} for each input; all: {WHERE}"
    return to_text(shown, "table", width=width) + f"{note}\n"


@click.command()
@click.argument("a")
@click.argument("b")
@options_of(
    Workspace.levels,
    *("null", "seeds", "lens", "measure"),
    null=SEVERAL | {"metavar": "A:B|random[:K]", "default": ()},
    seeds=SEVERAL | {"metavar": "A:B"},
    lens=SEVERAL | {"type": click.Choice(lens_names())},
    measure={"flags": ("--measure/--no-measure",)},
)
@output_options
@global_options
def levels(a: str, b: str, output: Output, **options: Any) -> None:
    """How alike two variants are by weights, attention, behaviour and edges.

    Beside every number stands what null pairs and two seeds of one recipe give: "99.99% alike"
    says nothing by itself.

    \b
    Example:
      circuitgraph levels base tuned --null base:control
      circuitgraph levels base tuned --null random:4 --lens effect
    """
    seeds = options.pop("seeds") or None
    lens = options.pop("lens") or None
    found = settings().open().levels(a, b, seeds=seeds, lens=lens, **options)
    if output.for_reading:
        prose(found.lines)
    else:
        output.show(found.table)


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--by",
    type=click.Choice(BY),
    help="What a row is [default: scenario; game for generated prompts].",
)
@options_of(
    Workspace.behave,
    *("games", "wordings", "samples", "stored", "opponent", "seed"),
    games={"metavar": "NAMES"},
    opponent={"type": click.Choice(list(OPPONENTS))},
)
@output_options
@global_options
def behave(names: tuple[str, ...], output: Output, by: Any, **options: Any) -> None:
    """Decisions of variants in games: P(cooperate) by state and wording, and of their base.

    p is the probability of cooperation among legal answers, with its 95% interval over
    wordings; legal is the probability of either label, with or without a leading blank. By
    game: the four states (own last move, then the other's), reciprocity P(C | C) − P(C | D),
    and regret as defined in the study of moral alignment (docs/lab.md).

    \b
    Example:
      circuitgraph behave hybrid-0 strategic-0
      circuitgraph behave hybrid-0 --games all --by game
    """
    found = settings().open().behave(names, **options)
    output.show(found.table(by or ("game" if options["games"] else "scenario")))


COMMANDS = (nodes, compose, levels, behave)
