"""The command nodes: what components do, and whether that changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from circuitgraph.commands.comparing import INSUFFICIENT
from circuitgraph.commands.options import Output, global_options, output_options, settings
from circuitgraph.nodes.measures import NAMES

if TYPE_CHECKING:
    import pandas as pd


@click.command()
@click.argument("name")
@click.argument("other", required=False)
@click.option(
    "--measure",
    type=click.Choice(NAMES),
    default="activity",
    show_default=True,
    help="activity: norm of what a component writes. attribution: its direct contribution to the "
    "logit difference. ablation: its total effect. logit-lens: the decision after each layer. "
    "attention: where heads look (spans in --prompts). probe: a linear probe of --label. "
    "weights: what an update does to each component's weights.",
)
@click.option(
    "--scope",
    type=click.Choice(["checkpoint", "recipe"]),
    default="checkpoint",
    show_default=True,
    help="These two models, or two groups of seeds.",
)
@click.option("--margin", type=float, help="Smallest change that matters, in the measure's units.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="False discovery rate.")
@click.option("--label", metavar="COLUMN", help="Of probes: what is predicted.")
@click.option(
    "--groups",
    metavar="COLUMN",
    default="scenario",
    show_default=True,
    help="Of probes: prompts with one value here are left out together.",
)
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    help="Prompt file with columns that runs do not keep (spans, labels).",
)
@output_options
@global_options
def nodes(name: str, other: str | None, output: Output, **options: Any) -> int:
    """What the components of a variant do; with OTHER, where that changed.

    Exit code 3 means the evidence is insufficient for any claim.

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
    settings().reporter.remark(
        f"{s['measure']}: {s['n_claims']} of {s['n_testable']} nodes differ, evidence "
        f"{s['evidence']}"
    )
    for key, value in s.get("facts", {}).items():
        settings().reporter.remark(f"{s['measure']}: {key} {value}")
    if "parts" in s:
        from circuitgraph.nodes.parting import in_words

        settings().reporter.remark(in_words(s["parts"]))
    return INSUFFICIENT if s["evidence"] == "insufficient" else 0


def _claims_first(table: pd.DataFrame) -> pd.DataFrame:
    """Claims above all else, each by size: what people read from the top."""
    from circuitgraph.nodes.compare import CLAIMS

    claimed, size = table["verdict"].isin(CLAIMS), table["change"].abs()
    order = table.assign(claimed=claimed, size=size).sort_values(
        ["claimed", "size"], ascending=False, kind="stable"
    )
    return table.loc[order.index]


COMMANDS = (nodes,)
