"""Mechanisms from the models of two runs: real tiny models through a workspace."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models import make_adapter, make_model
from shell import cli

from circuitgraph import Workspace
from circuitgraph.base.errors import InputError
from circuitgraph.base.progress import Reporter
from circuitgraph.lenses.mechanism import measure as mechanism
from circuitgraph.lenses.mechanism.measure import mechanisms_of
from circuitgraph.lenses.mechanism.split import shares
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.runs.record import Run

QUIET = Reporter()


def prompts() -> PromptSet:
    """36 prompts in 3 scenarios, of several lengths."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(36):
        words = [f"w{k}" for k in rng.integers(20, 60, 5 + i % 3)]
        other = [*words[:2], f"w{4 + i % 12}", *words[3:]]
        made.append(
            Prompt(" ".join(words), "stu"[i % 3], " ".join(other), "w16", "w17", line=i + 1)
        )
    return PromptSet(tuple(made), "prompts")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("study")
    base = make_model("llama", root / "base")
    adapter = make_adapter(base, root / "all")
    variants = {"base": None, "all": adapter}
    for ablation in ("corrupt", "mean"):
        workspace = Workspace(root / ablation)
        for name, folder in variants.items():
            workspace.ingest(
                base, adapter=folder, name=name, prompts=prompts(), edges=["effect"],
                ablation=ablation,
            )  # fmt: skip
    return root


def pair(study: Path, other: str, ablation: str = "corrupt") -> tuple[Run, Run]:
    catalogue = Workspace(study / ablation).catalogue()
    return catalogue.of("base")[-1], catalogue.of(other)[-1]


@pytest.mark.parametrize(("other", "ablation"), [("all", "corrupt"), ("all", "mean")])
@pytest.mark.some(1)
def test_parts_add_up_on_every_prompt_whatever_the_batches(
    study: Path, other: str, ablation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair(study, other, ablation)
    edges = list(range(2, len(a.edges), 23))
    found = mechanisms_of(a, b, edges, QUIET)
    change = (b.effects.astype(float) - a.effects)[:, edges]
    apart = np.abs(shares(found.values).sum(0) - change).max()
    assert apart <= 1e-5 * np.abs(change).max()
    monkeypatch.setattr(mechanism, "BATCH", 5)
    again = mechanisms_of(replace(a, path=None, _arrays=a.arrays), b, edges, QUIET)
    np.testing.assert_allclose(again.values, found.values, atol=1e-4 * np.abs(a.effects).max())
    assert (again.same == found.same).all()


@pytest.fixture(scope="module")
def trained(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A trained base, and a fine-tune of its third MLP alone."""
    root = tmp_path_factory.mktemp("trained")
    adapter = shutil.copytree(examples / "variants" / "hybrid-l2-mlp-only", root / "adapter")
    workspace = Workspace(root / "workspace")
    for name, folder in (("base", None), ("l2", adapter)):
        workspace.ingest(
            examples / "base", adapter=folder, name=name, prompts=examples / "prompts.jsonl",
            edges=["effect"],
        )  # fmt: skip
    return workspace


def test_one_mlp_trained(trained: Workspace) -> None:
    diff = trained.diff("base", "l2", margin=0.003)
    parts = diff.claims[["source", "target", "mechanism"]].astype(str).join(diff.extras)
    layer = parts["target"].str.extract(r"^L(\d)")[0].fillna("9").astype(int)
    touched = (parts["source"] == "L2_MLP") | (parts["target"] == "L2_MLP")
    before = parts[(layer <= 2) & ~touched]
    after = parts[(layer > 2) & ~touched]
    assert len(before) > 10
    assert set(before["mechanism"]) == {"downstream"}
    assert set(before["same"]) == {"signal, edge"}
    assert (before[["signal", "edge"]] == 0).all(axis=None)
    assert len(after) > 10
    assert set(after["mechanism"]) == {"upstream"}
    assert set(after["same"]) == {"edge, downstream"}
    assert (after[["edge", "downstream"]] == 0).all(axis=None)
    assert touched.sum() > 3
    assert (parts["edge"][touched] != 0).all()
    assert diff.summary["mechanism"]["apart"] <= 1e-5


def test_what_was_measured_is_kept(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair(study, "all")
    first = mechanisms_of(a, b, [3, 1], QUIET)
    monkeypatch.setattr(
        "circuitgraph.models.stored.reload", None
    )  # whatever needs a model fails now
    again = mechanisms_of(a, b, [1, 3], QUIET)
    np.testing.assert_array_equal(again.values[..., ::-1], first.values)


def test_the_models_must_be_those_of_the_effects(study: Path) -> None:
    a, b = pair(study, "all")
    wrong = replace(b, path=None, _arrays={**b.arrays, "effects": b.effects + 1})
    with pytest.raises(InputError, match="no longer give the effects stored"):
        mechanisms_of(replace(a, path=None, _arrays=a.arrays), wrong, [0], QUIET)


def test_models_that_are_gone_leave_it_unknown(trained: Workspace) -> None:
    folder = trained.path
    assert cli("-w", folder, "diff", "l2", "base", "--no-mechanism").code == 0
    moved = (folder.parent / "adapter").rename(folder.parent / "elsewhere")
    try:
        diff = trained.diff("l2", "base")
    finally:
        moved.rename(folder.parent / "adapter")
    assert set(diff.claims["mechanism"]) == {"unknown"}
    assert diff.summary["remarks"][-1].startswith("mechanism unknown: ")
    skipped = trained.diff("l2", "base", mechanism=False)
    assert set(skipped.claims["mechanism"]) == {"unknown"}
    assert "mechanism" not in skipped.summary
    answer = cli("-w", folder, "explain", "EMBED", "L0H2", "l2", "base")
    assert "Mechanism: downstream." in answer.out
