"""The command nodes: measures of components, and whether they changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from circuitgraph.commands.comparing import INSUFFICIENT
from circuitgraph.commands.options import Output, global_options, output_options, settings
from circuitgraph.commands.typed import options_of
from circuitgraph.nodes.measures import NAMES
from circuitgraph.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd


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
    settings().reporter.remark(
        f"{s['measure']}: {s['n_claims']} of {s['n_testable']} nodes differ{beyond}, evidence "
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
