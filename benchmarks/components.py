"""Measures of components on variants that were taught nothing, and probes of random labels.

The base of examples/ipd against its eight null fine-tunes by every measure that has a test: how
many comparisons claim anything? And probes of random labels of the base's prompts: is the share
that is right within the interval of chance?

    python benchmarks/components.py examples/ipd OUT [PROMPTS_PER_SCENARIO]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binom

from circuitgraph import Workspace
from circuitgraph.base.progress import Reporter
from circuitgraph.models.hooked import opened
from circuitgraph.nodes.measures import MEASURES
from circuitgraph.nodes.probe import _held_out, _streams

NULLS = ("null-self-sft", "null-random-reward")
DRAWS = 20


def prompts_of(file: Path, most: int, out: Path) -> Path:
    """The example's prompts with what measures need: spans of actions, the last moves."""
    kept: dict[str, list[dict]] = {}
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        found = [list(m.span()) for m in re.finditer(r"action[12]", row["prompt"])]
        row |= {"spans": {"actions": found}, "other": row["scenario"][1], "wording": row["id"][-2:]}
        kept.setdefault(row["scenario"], []).append(row)
    rows = [row for group in kept.values() for row in group[:most]]
    out.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return out


def nulls(workspace: Workspace, prompts: Path) -> Iterator[dict]:
    """A row a null fine-tune and measure; probes are tested on wordings they have not seen."""
    probe = {"prompts": prompts, "label": "other", "groups": "wording"}
    inputs: dict[str, dict] = {"attention": {"prompts": prompts}, "probe": probe}
    for name in (v for v in workspace if v != "base"):
        for measure in MEASURES:
            found = workspace.nodes("base", name, measure=measure, **inputs.get(measure, {}))
            yield {"variant": name, "measure": measure, "claims": found.summary["n_claims"],
                   "nodes": found.summary["n_testable"]}  # fmt: skip


def random_labels(workspace: Workspace) -> int:
    """How many draws are right as often as chance, read off the last layer's stream."""
    run = workspace["base"].newest("effect")
    stream = _streams(opened(run, "nodes probe"))[-1]
    inside, groups = 0, np.unique(run.scenarios, return_inverse=True)[1]
    for draw in range(DRAWS):
        labels = np.random.default_rng(draw).integers(0, 2, run.n)
        right = int((_held_out(stream, labels, groups, ("x", "y")) == labels).sum())
        low, high = binom.interval(0.95, run.n, 0.5)
        inside += low <= right <= high
    return inside


def main(examples: Path, out: Path, most: int) -> None:
    """Ingest what is not there, measure, print."""
    out.mkdir(parents=True, exist_ok=True)
    prompts = prompts_of(examples / "prompts.jsonl", most, out / "prompts.jsonl")
    workspace = Workspace(out / "workspace", reporter=Reporter())
    folders = sorted(p for p in (examples / "variants").iterdir() if p.name.startswith(NULLS))
    for folder in (None, *folders):
        workspace.ingest(
            examples / "base", adapter=folder, name="base" if folder is None else folder.name,
            prompts=prompts, load=False,
        )  # fmt: skip
    table = pd.DataFrame(nulls(workspace, prompts))
    print(table.pivot(index="variant", columns="measure", values="claims").to_string())
    silent = int((table["claims"] == 0).sum())
    print(f"no claim in {silent} of {len(table)} comparisons")
    print(f"probes of random labels at chance in {random_labels(workspace)} of {DRAWS}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1000)
