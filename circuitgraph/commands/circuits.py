"""Commands about circuits: faithfulness, overlap of two, blocks of claims tested as circuits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError, short
from circuitgraph.base.frames import to_text
from circuitgraph.commands.comparing import INSUFFICIENT
from circuitgraph.commands.options import (
    Output,
    global_options,
    output_options,
    prose,
    remark,
    resource_options,
    settings,
)
from circuitgraph.commands.typed import PATH, options_of
from circuitgraph.commands.views import WHERE
from circuitgraph.interventions.circuits.faithfulness import RANKINGS, Faithfulness
from circuitgraph.interventions.circuits.overlap import SHARED_SIZES
from circuitgraph.interventions.circuits.ranking import SIZES
from circuitgraph.workspace import Workspace

if TYPE_CHECKING:
    from circuitgraph.interventions.patching import BlockTests

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
    shown = result.table[SHOWN + (COMPARED if options["random"] else [])]
    output.view(result.table, lambda width: to_text(shown, "table", width=width))
    (click.echo if output.for_reading else remark)(_areas(result))
    remark(*result.summary["remarks"])


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


@click.command()
@click.argument("name")
@click.argument("other", required=False)
@shares_option(SHARED_SIZES)
@options_of(Workspace.overlap, "run", run={"metavar": "A_ID:B_ID"})
@output_options
@global_options
def overlap(
    name: str, other: str | None, sizes: tuple[float, ...], run: str | None, output: Output
) -> None:
    """Do the circuits of two prompt sets, or of two variants, share more edges than chance gives?

    A circuit is the strongest edges of an effect run. Without OTHER: NAME on its newest
    prompt set and on the newest other one. p is the chance of sharing as many where both
    circuits are drawn at random; p_within where each keeps how many edges it has into each
    receiver, so that agreeing on the receivers alone counts for nothing.

    \b
    Example:
      circuitgraph overlap base
      circuitgraph overlap base tuned --sizes 0.5,1,5
    """
    table = settings().open().overlap(name, other, sizes=sizes, run=run)
    shown, first = table.drop(columns=["run_a", "run_b"]), table.iloc[0]
    output.view(table, lambda width: to_text(shown, "table", width=width))
    if output.for_reading:
        runs = f"runs {first['run_a'][:12]} and {first['run_b'][:12]}"
        prose([f"{runs}; p as each size stands alone"])


BLOCKS_SHOWN = 15
"""Blocks that somebody reads."""

_READ = [
    *("block", "members", "set_a", "set_b", "sum_a", "sum_b", "change", "q", "verdict"),
    *("corrupt_dependent", "moved_into_a", "moved_into_b"),
]


@click.command()
@click.argument("a")
@click.argument("b")
@options_of(
    Workspace.blocks,
    *("second", "corrupt"),
    corrupt={"type": PATH, "metavar": "FILE"},
)
@options_of(
    Workspace.diff,
    *("run", "margin", "alpha"),
    run={"metavar": "A_ID:B_ID"},
    margin={"help": "Smallest change that matters [default: 0.01 of effect shares]."},
)
@resource_options
@output_options
@global_options
def blocks(a: str, b: str, output: Output, **options: Any) -> int:
    """Test the claims of an effect diff as circuits: blocks of correlated changes.

    All edges of a block are patched together in both variants (set, beside the sum of their
    single effects), again under a second corruption, and across models: its receivers read
    the other variant's senders along its edges (moved, as a share of the gap between the
    decisions). Exit code 3: the evidence is insufficient for any claim.

    \b
    Example:
      circuitgraph blocks base tuned
      circuitgraph blocks base tuned --corrupt other-corruptions.jsonl -o blocks.csv
    """
    result = settings().open().blocks(a, b, **options)
    output.view(result.table, lambda width: blocks_view(result.table, width))
    remark(*block_lines(result))
    return INSUFFICIENT if result.diff.insufficient else 0


def blocks_view(table: pd.DataFrame, width: int) -> str:
    """Blocks that change most first; nothing without any."""
    if table.empty:
        return ""
    order = np.argsort(-table["change"].abs().to_numpy(), kind="stable")
    text = to_text(table[_READ].iloc[order[:BLOCKS_SHOWN]], "table", width=width)
    if len(table) > BLOCKS_SHOWN:
        text += (
            f"{BLOCKS_SHOWN} of {len(table)} blocks, the largest change first; all rows: {WHERE}\n"
        )
    return text


def block_lines(result: BlockTests) -> list[str]:
    """What became of the blocks, in sentences."""
    diff, told = result.diff, result.summary
    name = f"{short(diff.a)} → {short(diff.b)}"
    if diff.insufficient:
        n = diff.summary["n_effective"]
        return [f"{name}: cannot tell, the evidence is insufficient (n_effective {n})"]
    if not told["blocks"]:
        return [f"{name}: no edge is claimed to differ, so there is no block to test"]
    by = "other corrupt texts" if told["second"] == "corrupt" else f"{told['second']} ablation"
    return [
        f"{name}: {told['claims']} claims in {told['blocks']} blocks; patched together, "
        f"{told['confirmed']} change beyond a margin of {told['margin']:g}; "
        f"{told['corrupt_dependent']} depend on the corruption (second: {by})",
        "the blocks were chosen on the same prompts: confirmed says that the edges act together, "
        "not that other prompts would show it",
        *(_moved(result, into, source) for into, source in (("a", "b"), ("b", "a"))),
    ]


def _moved(result: BlockTests, into: str, source: str) -> str:
    """The block that carries most of the gap in one direction."""
    names = [short(getattr(result.diff, side)) for side in (source, into)]
    start = f"moved from {names[0]} into {names[1]}"
    if not result.summary[f"gap_into_{into}"]:
        return f"{start}: they decide alike, there is no gap to carry"
    column = f"moved_into_{into}"
    best = result.table.iloc[int(np.nanargmax(result.table[column].abs()))]
    return (
        f"{start}: block {best['block']} carries most, {best[column]:.0%} of the gap "
        f"[{best[f'{column}_low']:.0%}, {best[f'{column}_high']:.0%}], and flips "
        f"{best[f'{column}_flips']} of {result.summary['disagree']} decisions in dispute"
    )


COMMANDS = (faithfulness, overlap, blocks)
