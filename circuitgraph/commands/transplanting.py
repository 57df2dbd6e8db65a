"""The command transplant: weights of one variant's components in another."""

from __future__ import annotations

from typing import Any

import click

from circuitgraph.commands.options import Output, global_options, output_options, settings


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("into", metavar="INTO")
@click.option(
    "--components",
    metavar="NAMES",
    multiple=True,
    help="Put in together, with commas (L5_MLP,L6_ATTN); may be given again for another set.",
)
@click.option("--layers", metavar="FIRST-LAST", help="Whole blocks, such as 11-23, together.")
@click.option("--each", is_flag=True, help="Each attention layer, MLP and end by itself [default].")
@click.option("--pairs", is_flag=True, help="Also every two sets together: are they additive?")
@output_options
@global_options
def transplant(source: str, into: str, output: Output, **options: Any) -> None:
    """What INTO decides with the weights of some components of FROM.

    A share of 1 is all of the gap between the two; back_share is the same the other way, and
    asymmetry how far the two are apart. With --pairs the table is of pairs: interaction is the
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
