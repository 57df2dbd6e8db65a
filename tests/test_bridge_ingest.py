"""Families without a reader through the command line, from ingest to edges; and those refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from models import REFUSED, make_adapter, make_model
from shell import cli, done, rows

from circuitgraph.base.errors import InputError
from circuitgraph.base.progress import Reporter
from circuitgraph.engine.bridge.boot import read_norm
from circuitgraph.ingest.models import ingest_model
from circuitgraph.ingest.request import Request
from circuitgraph.ingest.selfcheck import checked_model
from circuitgraph.models.variants import load_variant
from circuitgraph.nodes.measures import MEASURES
from circuitgraph.nodes.values import values_of
from circuitgraph.prompts import read_prompts
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import list_runs

PAIRS = [
    ("w5 w9 w22 w7 w30", "w5 w9 w41 w7 w30", "w8", "w19", "s"),
    ("w6 w7", "w61 w7", "w40", "w11", "s"),
    ("w6 w7 w33", "w6 w62 w33", "w40 w12", "w11 w13 w14", "t"),
    ("w20 w21 w22", "w20 w21 w24", "w17 w12", "w17 w13", "t"),
]
COLUMNS = ("prompt", "corrupt", "answer", "wrong_answer", "scenario")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    lines = [json.dumps(dict(zip(COLUMNS, pair, strict=True))) for pair in PAIRS]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def gptj(tmp_path_factory):
    """A GPT-J, its adapter, and a workspace that holds both."""
    root = tmp_path_factory.mktemp("gptj")
    base = make_model("gptj", root / "base")
    return base, make_adapter(base, root / "lora"), root / "workspace"


@pytest.fixture(scope="module")
def ingested(gptj, prompts):
    base, lora, workspace = gptj
    here = ("--prompts", prompts, "-w", workspace)
    return [
        done("ingest", base, "--name", "base", *here),
        done("ingest", base, "--adapter", lora, "--name", "tuned", *here),
    ]


def test_the_run_says_that_it_goes_through_hooks(gptj, ingested):
    for answer in ingested:
        first, *_ = answer.err.splitlines()
        assert first.startswith("no reader for model type gptj: hooks on TransformerBridge")
        assert "slower" in first
    for run in list_runs(gptj[2] / "runs"):
        check = run.self_check
        assert check["forward"] == "bridge"
        assert check["logits"] <= 1e-5
        assert check["parts"] <= 1e-5
        assert (check["adapter"] is None) == (run.variant.name == "base")


def test_its_graph_is_there_to_be_asked(gptj, ingested):
    workspace = gptj[2]
    shown = rows("edges", "tuned", "--kind", "effect", "-w", workspace)
    assert len(shown) == 54 - 2 * 4  # two MLPs do not hear the four heads beside them
    assert not [r for r in shown if r["target"] == "L1_MLP" and r["source"].startswith("L1H")]
    assert any(abs(r["raw"]) > 0.05 for r in shown)
    diff = cli("diff", "base", "tuned", "-w", workspace, "--json")
    assert diff.code == 3  # four prompts are too few for any claim
    assert {(r["source"], r["target"]) for r in diff.rows} == {
        (r["source"], r["target"]) for r in shown
    }


def test_a_read_out_that_is_not_the_model_s_own_gives_no_numbers(gptj, ingested, monkeypatch):
    run = next(r for r in list_runs(gptj[2] / "runs") if r.variant.name == "base")
    with monkeypatch.context() as patched:
        patched.setattr("circuitgraph.nodes.attribution.TOLERANCE", -1.0)  # nothing is near enough
        with pytest.raises(InputError, match="adds something that is not a component"):
            values_of(run, MEASURES["attribution"], Reporter())
    assert np.isfinite(values_of(run, MEASURES["attribution"], Reporter()).values).all()


def test_what_needs_a_reader_is_refused_by_name(gptj, ingested):
    refused = cli("patch", "base", "tuned", "-w", gptj[2])
    assert refused.code == 2
    assert "model type 'gptj' has no reader" in refused.complaint


def test_the_same_ingest_again_is_the_same_run(gptj, ingested, prompts):
    base, _, workspace = gptj
    before = {run.id for run in list_runs(workspace / "runs")}
    done("ingest", base, "--name", "base", "--prompts", prompts, "-w", workspace, "-q")
    assert {run.id for run in list_runs(workspace / "runs")} == before


@pytest.mark.parametrize("options", [("--split-inputs",), ("--ablation", "mean")])
@pytest.mark.parametrize("granularity", ["head", "layer"])
@pytest.mark.some(2)
def test_every_choice_of_an_ingest_works(gptj, prompts, tmp_path, granularity, options):
    words = ("ingest", gptj[0], "--name", "m", "--prompts", prompts, "-w", tmp_path, "-q")
    done(*words, "--granularity", granularity, "--activity", "projection", *options)
    kinds = {run.kind: run for run in list_runs(tmp_path / "runs")}
    assert np.abs(kinds["effect"].effects).max() > 0.01
    assert np.abs(kinds["correlation"].activity).max() > 0.01


def test_prompts_are_checked_with_it(gptj, ingested, prompts):
    report = done("prompts", "check", prompts, "--model", gptj[0], "--json").rows["model"]
    runs = list_runs(gptj[2] / "runs")
    (run,) = (r for r in runs if r.kind == "effect" and r.variant.name == "base")
    assert report["moved"] == int((np.abs(run.totals) >= 0.1).sum())
    assert report["mass"] == pytest.approx(float(run.arrays["mass"].mean()), rel=1e-4)
    for code, name in enumerate(dict.fromkeys(p.scenario for p in run.prompts)):
        mean = float(run.totals[run.scenarios == code].mean())
        assert report["totals"][name] == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize(
    ("family", "why"),
    [
        ("post-norm opt", "do not sum to the residual stream"),
        ("granitemoe", "it is a mixture of experts (num_local_experts)"),
        ("mamba", "names no number of layers and attention heads"),
        ("recurrent_gemma", "does not exist on this model"),
        ("biogpt", "cannot wrap it ("),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(family, why, prompts, tmp_path):
    assert family in REFUSED
    folder = make_model(family, tmp_path / "model")
    words = ("ingest", folder, "--name", "m", "--prompts", prompts, "-w", tmp_path / "w", "-q")
    answer = cli(*words)
    assert answer.code == 1
    assert str(folder) in answer.complaint
    assert why in answer.complaint
    assert list_runs(tmp_path / "w" / "runs") == []


@pytest.mark.parametrize("estimator", ["receiver-exact", "eap", "eap-ig"])
@pytest.mark.some(1)
def test_screens_are_runs_of_their_own(gptj, prompts, tmp_path, estimator):
    request = Request(kinds=("effect",), estimator=estimator)
    [run] = ingest_model(
        load_variant(gptj[0]), read_prompts(prompts), request, tmp_path, Reporter()
    )
    assert run.method.estimator == estimator
    assert np.isfinite(run.effects).all()
    assert ("screen" in run.self_check) == (estimator == "receiver-exact")


def test_a_model_that_the_library_cannot_run_is_refused(gptj):
    loaded = load_variant(gptj[0])
    loaded.hf.transformer.h[0].mlp.fc_in = torch.nn.Linear(7, 7)
    prompt = Encoded((1, 5, 9), None, (8,), (9,), None)
    with pytest.raises(InputError, match="library itself cannot run this gptj model") as e:
        checked_model(loaded, [prompt])
    assert "\n" not in str(e.value)


class Odd(torch.nn.Module):
    """A norm of a kind of its own."""

    def forward(self, x):
        return x / x.abs().amax(-1, keepdim=True)


@pytest.mark.parametrize(
    ("module", "eps", "centre"),
    [
        (torch.nn.LayerNorm(32, eps=1e-3), 1e-3, True),
        (torch.nn.LayerNorm(32, eps=1e-5, bias=False), 1e-5, True),
        (torch.nn.RMSNorm(32, eps=1e-6), 1e-6, False),
        (Odd(), None, None),
    ],
)
@torch.no_grad()
def test_a_norm_is_known_by_what_it_does(module, eps, centre):
    for parameter in module.parameters():
        parameter.add_(torch.randn_like(parameter))
    norm = read_norm(module, 32)
    if eps is None:
        assert norm is None
        return
    assert norm.eps == pytest.approx(eps, rel=0.01)
    assert norm.centre == centre
    assert torch.allclose(norm.weight, module.weight, atol=1e-5)
