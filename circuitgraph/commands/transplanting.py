"""The command transplant: weights of one variant's components in another."""

from __future__ import annotations

from typing import Any

import click

from circuitgraph.commands.options import Output, global_options, output_options, settings
from circuitgraph.commands.typed import options_of
from circuitgraph.workspace import Workspace


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
    settings().reporter.remark(
        f"decision of {s['source']} {s['decision_source']:+.3f}, of {s['into']} "
        f"{s['decision_into']:+.3f}; gap {s['gap']:.3f} nats; {s['interventions']} interventions "
        f"of {s['tried']} changed something"
    )
    for remark in s["remarks"]:
        settings().reporter.remark(remark)


COMMANDS = (transplant,)
