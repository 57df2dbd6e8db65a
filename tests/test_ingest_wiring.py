"""Channels between stored variants: what is compared, what is refused, and why."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from models import make_adapter, make_model
from test_diff_confirm import PROMPTS

from circuitgraph import InputError, UsageError, Workspace
from circuitgraph.base.progress import Reporter
from circuitgraph.lenses.wiring.measure import channels_of
from circuitgraph.plant import drift, rewrite
from circuitgraph.prompts import PromptSet

ARRAYS = ("norm_a", "norm_b", "read", "write", "delta", "square", "expected")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wiring")
    base = make_model("llama", folder / "base")
    make_adapter(base, folder / "adapter")
    make_model("llama", folder / "other", seed=5)
    make_model("gptj", folder / "hooked")
    drift(base, folder / "drifted", size=0.05)
    rewrite(base, folder / "rewritten", kind="all")
    rewrite(base, folder / "turned", kind="value")
    return folder


@pytest.fixture(scope="module")
def runs(root):
    workspace = Workspace(root / "workspace")

    def run(name, folder=None, **options):
        [found] = workspace.ingest(
            root / (folder or name),
            name=name,
            prompts=PROMPTS,
            edges=["effect"],
            load=False,
            **options,
        )
        return found

    found = {n: run(n) for n in ("base", "other", "hooked", "drifted", "rewritten", "turned")}
    found["tuned"] = run("tuned", "base", adapter=root / "adapter")
    found["split"] = run("split", "base", split_inputs=True)
    found["mean"] = run("mean", "base", ablation="mean")
    found["mean-tuned"] = run("mean-tuned", "base", ablation="mean", adapter=root / "adapter")
    return found


def between(runs, a, b, **options):
    return channels_of(runs[a], runs[b], reporter=Reporter(), **{"draws": 50, **options})


def test_a_record_is_whole_and_the_same_each_time(runs):
    once, again = (between(runs, "base", "tuned") for _ in range(2))
    assert once.edges == runs["base"].edges
    assert (once.delta > 0).any()
    for name in (*ARRAYS, "draws", "floor"):
        assert np.array_equal(getattr(once, name), getattr(again, name)), name
        assert np.isfinite(getattr(once, name)).all(), name
    assert once.draws.shape == (50, len(once.edges))
    assert not np.array_equal(once.draws, between(runs, "base", "tuned", seed=1).draws)


@pytest.mark.parametrize("form", ["weights", "functional"])
def test_a_variant_against_itself_is_exactly_unchanged(runs, form):
    found = between(runs, "tuned", "tuned", form=form)
    assert (found.square == 0).all()
    assert (np.nan_to_num(found.delta) == 0).all()
    assert form == "functional" or (found.draws == 0).all()


def test_runs_without_pairs_take_the_signal_itself(runs):
    found = between(runs, "mean", "mean-tuned")
    assert np.isfinite(found.delta).all()
    assert found.norm_a.min() > 0  # nothing is silent where nothing is subtracted


def test_models_that_look_like_one_base_are_compared(runs):
    assert (between(runs, "base", "drifted").delta > 0).any()


@pytest.mark.parametrize("name", ["other", "rewritten", "turned"])
def test_weights_of_foreign_bases_are_refused_unless_the_user_says_so(runs, name):
    with pytest.raises(UsageError, match='``form="functional"``.*``shared_basis``'):
        between(runs, "base", name)
    assert (between(runs, "base", name, shared_basis=True, draws=0).delta > 0).any()


def test_functions_see_no_rewrite(runs):
    same, other = (between(runs, "base", n, form="functional") for n in ("rewritten", "drifted"))
    assert np.nanmax(same.delta) < 1e-3
    assert np.nanmedian(other.delta) > 0.01
    assert same.draws.shape == (8, len(same.edges))
    assert (same.floor > 0).all()
    known = ~np.isnan(same.delta).any(0)
    assert (same.expected[:, known] > 0).all()
    assert (same.delta.mean(0)[known] <= same.floor[known]).all()


def test_what_cannot_be_compared_is_refused(runs):
    for a, b, message in (
        ("base", "hooked", "no reader of ours"),
        ("base", "split", "inputs"),
        ("base", "mean", "ablation"),
    ):
        with pytest.raises(UsageError, match=message):
            between(runs, a, b)
    with pytest.raises(UsageError, match="weights or functional"):
        between(runs, "base", "tuned", form="magic")


def test_changed_files_are_refused(root, runs, tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    shutil.copytree(root / "base", tmp_path / "copy")
    [run] = workspace.ingest(
        tmp_path / "copy", name="copy", prompts=PROMPTS, edges=["effect"], load=False
    )
    shutil.copy(root / "other" / "model.safetensors", tmp_path / "copy")
    with pytest.raises(InputError, match="no longer those ingested"):
        channels_of(runs["base"], run, reporter=Reporter())


def test_tokenizers_that_read_prompts_differently_are_refused(root, runs, tmp_path):
    shutil.copytree(root / "base", tmp_path / "words")
    file = tmp_path / "words" / "tokenizer.json"
    tokens = json.loads(file.read_text("utf-8"))
    vocabulary = tokens["model"]["vocab"]
    vocabulary["w4"], vocabulary["w5"] = vocabulary["w5"], vocabulary["w4"]
    file.write_text(json.dumps(tokens), "utf-8")
    workspace = Workspace(tmp_path / "workspace")
    [run] = workspace.ingest(
        tmp_path / "words", name="words", prompts=PROMPTS, edges=["effect"], load=False
    )
    with pytest.raises(UsageError, match="the tokens of the same prompts"):
        channels_of(runs["base"], run, reporter=Reporter())


def test_pairs_that_cannot_be_aligned_are_said_to_be_left_alone(root, tmp_path, capsys):
    first, *others = PROMPTS.prompts
    uneven = PromptSet((replace(first, corrupt="w5 w9"), *others), "prompts.jsonl")
    workspace = Workspace(tmp_path / "workspace")
    base, drifted = (
        workspace.ingest(root / name, name=name, prompts=uneven, edges=["correlation"], load=False)[
            0
        ]
        for name in ("base", "drifted")
    )
    found = channels_of(base, drifted, draws=0, reporter=Reporter(quiet=False))
    assert "1 of 14 pairs are of unequal lengths" in capsys.readouterr().err
    assert found.norm_a.min() > 0  # of the prompts themselves
