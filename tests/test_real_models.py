"""What is told of a pretrained model: its logits, its circuit, the same circuit twice."""

from __future__ import annotations

from pathlib import Path

import naive_hooks
import numpy as np
import pytest
import torch
from scipy.stats import hypergeom

from circuitgraph import PromptSet, Workspace, load_variant, make_prompts
from circuitgraph.base.components import effect_edges
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.prompts.tokens import encode
from circuitgraph.runs.record import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prompts(smollm2: Path) -> PromptSet:
    return make_prompts("ioi", smollm2, n=40)


@pytest.fixture(scope="module")
def model(smollm2: Path):
    return load_variant(smollm2)


def test_sampled_edges_are_those_of_plain_hooks(model, prompts):
    """Grouped keys, 30 layers: exact effects of edges of every kind, near and far."""
    rows = encode(PromptSet(prompts.prompts[:2], prompts.source), model.tokenizer).prompts
    edges = effect_edges(30, 9, 3, "head", "joint")
    chosen = sorted(np.random.default_rng(0).choice(len(edges), 24, replace=False).tolist())
    ours = from_hf(model.hf).edge_effects(make_batch(rows), EffectSpec(edges=chosen))
    want = torch.stack(
        [naive_hooks.effects(model.hf, row, [edges[i] for i in chosen]) for row in rows]
    )
    largest = float((ours.totals.abs()).max())
    assert float((ours.effects - want).abs().max()) <= 1e-4 * max(1.0, largest)


def screened(smollm2: Path, prompts: PromptSet, folder: Path) -> Run:
    [run] = Workspace(folder).ingest(
        smollm2, name="m", prompts=prompts, edges="effect", estimator="eap", load=False
    )
    return run


def test_two_prompt_sets_give_the_same_circuit(smollm2, tmp_path):
    """The strongest 200 of 44,371 edges overlap beyond chance (hypergeometric tail)."""
    runs = [
        screened(smollm2, make_prompts("ioi", smollm2, n=40, seed=seed), tmp_path / str(seed))
        for seed in (1, 2)
    ]
    assert not {p.tokens for p in runs[0].prompts} & {p.tokens for p in runs[1].prompts}
    tops = [
        set(np.argsort(-np.abs(run.effects.mean(0)), kind="stable")[:200].tolist()) for run in runs
    ]
    shared, edges = len(tops[0] & tops[1]), len(runs[0].edges)
    assert hypergeom.sf(shared - 1, edges, 200, 200) < 1e-6
    assert shared >= 100


def test_the_model_solves_the_task_it_is_looked_at_for(smollm2, prompts, tmp_path):
    run = screened(smollm2, prompts, tmp_path)
    assert (run.arrays["decisions"] > 0).mean() >= 0.9
    assert np.isfinite(run.effects).all()
