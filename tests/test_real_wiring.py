"""One MLP of a pretrained model was trained: what the lenses say of it, and of a rewrite."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from shell import ROOT

from circuitgraph import PromptSet, Workspace, make_prompts
from circuitgraph.plant import rewrite

sys.path.insert(0, str(ROOT / "examples" / "real"))

pytestmark = pytest.mark.slow
LAYER = 12
CHANGED = f"L{LAYER}_MLP"


@pytest.fixture(scope="module")
def workspace(smollm2: Path, tmp_path_factory) -> Workspace:
    """SmolLM2, and with a rank-1 adapter on one output matrix: 12 steps that turn its answers."""
    from train import train

    folder = tmp_path_factory.mktemp("real")
    prompts = make_prompts("ioi", smollm2, n=20)  # fewer are too few for any claim
    adapter = train(smollm2, prompts, folder / "adapter", LAYER)
    found = Workspace(folder / "workspace")
    for name, tuned in (("base", None), ("tuned", adapter)):
        found.ingest(
            smollm2, adapter=tuned, name=name, prompts=prompts, edges="effect", estimator="eap",
            granularity="layer",
        )  # fmt: skip
    return found


def after(component: str) -> bool:
    """Whether a component computes after the MLP that was trained."""
    return component == "LOGITS" or (
        component != "EMBED" and int(component.split("_")[0][1:]) > LAYER
    )


def test_wiring_starts_at_the_mlp_that_was_trained_and_nowhere_else(workspace):
    found = workspace.diff("base", "tuned", lens="wiring")
    table, claims = found.table, found.claims
    touched = (table["source"] == CHANGED).to_numpy()
    assert touched.sum() == 2 * (30 - LAYER - 1) + 1
    assert (table["delta"][~touched] == 0).all()
    assert (table["delta"][touched] > 0).all()
    assert set(claims["source"]) == {CHANGED}
    assert len(claims) >= touched.sum() / 2


def test_effects_change_upstream_behind_it_and_downstream_before_it(workspace):
    found = workspace.diff("base", "tuned", lens="effect")
    claims = found.claims
    assert len(claims) > 3
    for source, target, mechanism in claims[["source", "target", "mechanism"]].to_numpy():
        if not after(target):
            assert mechanism == "downstream", (source, target)
        elif source != CHANGED:
            assert mechanism == "upstream", (source, target)


def test_a_rewrite_that_keeps_the_function_is_no_claim(smollm2, tmp_path):
    drawn = make_prompts("ioi", smollm2, n=8)
    prompts = PromptSet(drawn.prompts[:8], drawn.source)
    rewrite(smollm2, tmp_path / "rewritten", kind="all")
    found = Workspace(tmp_path / "workspace")
    for name, folder in (("base", smollm2), ("rewritten", tmp_path / "rewritten")):
        found.ingest(
            folder, name=name, prompts=prompts, edges="effect", estimator="eap",
            granularity="layer",
        )  # fmt: skip
    diff = found.diff("base", "rewritten", lens="wiring", form="functional")
    assert len(diff.claims) == 0
    assert np.nanmax(diff.table["delta"]) < 0.02
