"""Measures of components of families without a reader, against plain hooks on their modules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from models import make_model

from circuitgraph import Workspace, load_variant
from circuitgraph.base.progress import Reporter
from circuitgraph.nodes.measures import MEASURES
from circuitgraph.nodes.values import values_of
from circuitgraph.runs.record import list_runs

PAIRS = [
    {
        "prompt": f"w5 w9 w{10 + i} w7 w{30 + i % 3}",
        "corrupt": f"w5 w9 w{40 + i} w7 w{30 + i % 3}",
        "answer": "w8", "wrong_answer": "w19", "scenario": "ab"[i % 2], "direction": -1,
        "spans": {"changed": [[6, 9]]},
    }
    for i in range(6)
]  # fmt: skip
OTHERS = ("opt", "gpt_neo")


@pytest.fixture(
    scope="module",
    params=["gptj", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)],
)
def made(request, tmp_path_factory) -> tuple[Path, Path, Workspace]:
    """A model folder, its prompts, and a workspace of it. GPT-J's unembedding has a bias."""
    root = tmp_path_factory.mktemp(request.param)
    base = make_model(request.param, root / "base")
    prompts = root / "prompts.jsonl"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in PAIRS))
    workspace = Workspace(root / "w")
    workspace.ingest(base, name="base", prompts=prompts, granularity="head", load=False)
    return base, prompts, workspace


def values(workspace: Workspace, measure: str, *more) -> tuple[list[str], np.ndarray]:
    """Names of nodes, and values in the order of ``PAIRS``."""
    run = next(r for r in list_runs(workspace.path / "runs") if r.kind == "effect")
    found = values_of(run, MEASURES[measure], Reporter(), more)
    place = {prompt.prompt: i for i, prompt in enumerate(run.prompts)}
    names = [node.component for node in found.nodes]
    return names, found.values[[place[row["prompt"]] for row in PAIRS]]


def ids(loaded, text: str) -> torch.Tensor:
    return torch.tensor([[1, *loaded.tokenizer(text, add_special_tokens=False)["input_ids"]]])


def apart(logits: torch.Tensor) -> float:
    """Logit of w8 minus that of w19 at the last position."""
    return float(logits[0, -1, 8] - logits[0, -1, 19])


@torch.no_grad()
def test_attributions_and_the_lens_end_in_the_library_s_logits(made):
    base, _, workspace = made
    loaded = load_variant(base)
    want = [apart(loaded.hf(ids(loaded, row["prompt"])).logits) for row in PAIRS]
    assert np.allclose(values(workspace, "attribution")[1].sum(1), want, atol=1e-4)
    assert np.allclose(values(workspace, "logit-lens")[1][:, -1], want, atol=1e-4)
