"""Pictures of nulls for docs/nulls.md, from the example's models.

    python benchmarks/null_pictures.py WORKSPACE docs/images

Ingests what the workspace lacks (the base and three variants, about a minute) and writes three SVG.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from circuitgraph import Diff, Workspace
from circuitgraph.demo import example_folder

TRAINED, NULL, SEED = "deontological", "null-self-sft", "deontological-seed1"
PAIRS = {
    "trained": ("base", TRAINED, "#d55e00"),
    "another seed": (TRAINED, SEED, "#0072b2"),
    "own answers (null)": ("base", NULL, "#666666"),
}
CUT = 0.3
"""The bare cut on a change of correlation that papers use."""


def ingested(folder: str) -> Workspace:
    """A workspace with the base and the three variants."""
    workspace, ipd = Workspace(folder), example_folder()
    for name in ("base", TRAINED, NULL, SEED):
        adapter = None if name == "base" else ipd / "variants" / name
        workspace.ingest(ipd / "base", name=name, adapter=adapter, prompts=ipd / "prompts.jsonl")
    return workspace


def changes(workspace: Workspace) -> Figure:
    """Sizes of the change of every edge's effect, claims above, beside the margin."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), sharex=True, sharey=True)
    for (title, (a, b, colour)), axis in zip(PAIRS.items(), axes, strict=True):
        diff = workspace.diff(a, b, lens="effect", mechanism=False)
        _changes(axis, diff, colour)
        axis.set_title(f"{title}: {len(diff.claims)} claims", fontsize=9)
    axes[0].set_ylabel("edges")
    axes[1].set_xlabel("size of the change (share of the norm of all edge effects)")
    return figure


def _changes(axis: Axes, diff: Diff, colour: str) -> None:
    bins = np.geomspace(1e-5, 1, 31)
    sizes = diff.table["delta"].abs().clip(bins[0], None)
    claimed = sizes[sizes.index.isin(diff.claims.index)]
    axis.hist(sizes, bins, color="#cccccc")
    axis.hist(claimed, bins, color=colour)
    axis.axvline(diff.margin, color="black", linewidth=0.8, linestyle="--")
    axis.set_xscale("log")


def correlations(workspace: Workspace) -> Figure:
    """How many correlations change by at least so much, and how many pass the test."""
    figure, axis = plt.subplots(figsize=(5.5, 3))
    grid = np.linspace(0, 1, 201)
    for title, (a, b, colour) in PAIRS.items():
        diff = workspace.diff(a, b, lens="correlation")
        sizes = diff.table["delta"].abs().to_numpy()
        bare = int((sizes >= CUT).sum())
        told = f"{title}: {bare} beyond {CUT}, {len(diff.claims)} claimed"
        axis.plot(grid, [(sizes >= least).sum() for least in grid], color=colour, label=told)
    axis.axvline(CUT, color="black", linewidth=0.8, linestyle="--")
    axis.set(xlabel="|Δr| at least", ylabel="pairs of components", xlim=(0, 1))
    axis.legend(fontsize=8, frameon=False)
    return figure


def resampled(workspace: Workspace) -> Figure:
    """The base against itself: correlations over two samples of its prompts."""
    run = next(r for r in workspace["base"].runs if r.kind == "correlation")
    activity = np.asarray(run.activity, float)
    figure, axis = plt.subplots(figsize=(5.5, 2.6))
    for size, colour in ((15, "#cc79a7"), (60, "#666666")):
        sizes = _twice(activity, size)
        told = f"{size} prompts each: {(sizes >= CUT).mean():.0%} beyond {CUT}"
        axis.hist(sizes, 40, color=colour, density=True, histtype="step", label=told)
    axis.axvline(CUT, color="black", linewidth=0.8, linestyle="--")
    axis.set(xlabel="|Δr| of the base against itself, over other prompts", ylabel="density")
    axis.legend(fontsize=8, frameon=False)
    return figure


def _twice(activity: np.ndarray, size: int, draws: int = 20) -> np.ndarray:
    """Changes of all correlations between two disjoint samples of prompts, over draws."""
    rng, found = np.random.default_rng(0), []
    for _ in range(draws):
        order = rng.permutation(len(activity))
        samples = (activity[order[:size]], activity[order[size : 2 * size]])
        a, b = (np.corrcoef(sample, rowvar=False) for sample in samples)
        found.append(np.abs(a - b)[np.triu_indices(a.shape[0], 1)])
    return np.concatenate(found)


def main(folder: str, out: str) -> None:
    """Write the pictures."""
    matplotlib.use("svg")
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "nulls", "font.size": 8})
    workspace = ingested(folder)
    for draw in (changes, correlations, resampled):
        figure = draw(workspace)
        figure.tight_layout()
        path = Path(out) / f"nulls-{draw.__name__}.svg"
        figure.savefig(path, metadata={"Date": None}, transparent=False)
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main(*sys.argv[1:])
