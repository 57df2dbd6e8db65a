"""Two copies of one model whose updates were rounded away are named, and give no claim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from merging import merged
from shell import IPD

from circuitgraph import Workspace
from circuitgraph.diff.likeness import Likeness, likeness
from circuitgraph.report.words import summary_lines

VARIANTS = IPD / "variants"


@pytest.fixture(scope="module")
def workspace(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("copies")
    made = Workspace(root / "w")
    folders = {
        "nf4": merged(IPD / "base", "nf4", root / "nf4"),
        "lost": merged(IPD / "base", "nf4", root / "lost", VARIANTS / "utilitarian", 0.02),
        "lost too": merged(IPD / "base", "nf4", root / "too", VARIANTS / "deontological", 0.02),
        "bf16": merged(IPD / "base", "bf16", root / "bf16"),
        "lost in bf16": merged(IPD / "base", "bf16", root / "b", VARIANTS / "utilitarian", 1e-3),
    }
    chosen = {"prompts": examples / "prompts.jsonl", "granularity": "layer", "load": False}
    for name, folder in folders.items():
        made.ingest(folder, name=name, **chosen)
    adapter = VARIANTS / "hybrid-l2-mlp-only"
    made.ingest(IPD / "base", name="base", **chosen)
    made.ingest(IPD / "base", adapter=adapter, name="one MLP", **chosen)
    return made


@pytest.mark.parametrize("lens", ["effect", "correlation"])
@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        ("nf4", "lost", "28 more differ in nothing but the scales of their 4-bit blocks"),
        ("lost", "lost too", "28 more differ in nothing but the scales of their 4-bit blocks"),
        ("bf16", "lost in bf16", "of those that differ 9"),
    ],
)
def test_lost_updates_are_named_and_give_no_claim(
    workspace: Workspace, a: str, b: str, told: str, lens: str
) -> None:
    diff = workspace.diff(a, b, lens=lens, mechanism=False)
    assert diff.summary["n_claims"] == 0
    first = summary_lines(diff)[1]
    assert first.startswith("warning: 10 of 38 weight tensors are bit-identical")
    assert told in first
    assert "circuitgraph check" in first


def test_a_real_update_of_one_mlp_is_no_loss(workspace: Workspace) -> None:
    diff = workspace.diff("base", "one MLP", lens="effect", mechanism=False)
    assert "35 of 38 weight tensors are bit-identical" in diff.summary["remarks"]
    a, b = (workspace.catalogue().of(name)[-1] for name in ("base", "one MLP"))
    found = likeness(a, b)
    assert found is not None
    assert (found.tensors, found.same, found.codes, found.lost) == (38, 35, 0, False)
    assert found.share < 0.2
    assert likeness(a, a) == Likeness(38, 38, 0, 0, 0)


def table(path: Path, values: np.ndarray) -> Path:
    head = ",".join(["prompt_id", "scenario", *(f"c{i}" for i in range(values.shape[1]))])
    rows = [f"p{i},s{i % 5}," + ",".join(map(repr, row)) for i, row in enumerate(values.tolist())]
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_tables_that_share_half_of_their_values_are_named(tmp_path: Path) -> None:
    """As the first published tables: 422 of 780 values of two variants equal bit for bit."""
    drawn = np.random.default_rng(0).normal(10, 1, (2, 15, 52))
    same = np.zeros(780, bool)
    same[np.random.default_rng(1).permutation(780)[:422]] = True
    drawn[1][same.reshape(15, 52)] = drawn[0][same.reshape(15, 52)]
    made = Workspace(tmp_path / "w")
    for name, values in zip("ab", drawn, strict=True):
        made.ingest_table(table(tmp_path / f"{name}.csv", values), name=name)
    lines = summary_lines(made.diff("a", "b"))
    assert lines[1].startswith("warning: 422 of 780 values (54%) are bit-identical in both tables")


def test_the_tables_that_were_measured_again_share_hardly_any(tmp_path: Path) -> None:
    shared = next((p / "shared" for p in IPD.parents if (p / "shared" / "data").is_dir()), None)
    if shared is None:
        pytest.skip("the published tables are not here")
    made = Workspace(tmp_path / "w")
    for name in ("De", "Ut"):
        file = shared / "data" / "llm_morality" / f"component_activations_PT3_CORE{name}.json"
        made.ingest_table(file, name=name)
    assert not any("bit-identical" in line for line in summary_lines(made.diff("De", "Ut")))
