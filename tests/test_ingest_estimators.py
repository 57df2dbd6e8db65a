"""``auto``, screens, devices and number types, as an ingest sees them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import make_model
from scipy.stats import spearmanr
from test_diff_confirm import PROMPTS

from circuitgraph import UsageError, Workspace
from circuitgraph.base.progress import Reporter
from circuitgraph.commands.options import read_seconds
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.model import to_device
from circuitgraph.ingest import estimate, jobs
from circuitgraph.ingest.compute import apart_from_double
from circuitgraph.ingest.jobs import plan
from circuitgraph.ingest.request import Request
from circuitgraph.ingest.screen import ARRAY, quality, sample_of
from circuitgraph.ingest.shape import Shape
from circuitgraph.models.variants import load_variant


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_model("llama", tmp_path_factory.mktemp("model") / "base")


def ingest(base, folder, **options):
    workspace = Workspace(folder, reporter=options.pop("reporter", Reporter()))
    [run] = workspace.ingest(
        base, name="m", prompts=PROMPTS, edges=["effect"], load=False, **options
    )
    return run


def test_auto_is_exact_where_that_is_affordable(base, tmp_path):
    auto, exact = (ingest(base, tmp_path / name, estimator=name) for name in ("auto", "exact"))
    assert auto.id == exact.id
    assert auto.method.estimator == "exact"
    assert ARRAY not in auto.arrays


def needs(base, estimator):
    """Operations of a run of all effects of these prompts."""
    loaded = load_variant(base, name="m")
    [job] = plan(loaded, PROMPTS, Request(kinds=("effect",), estimator=estimator))
    return estimate.operations(Shape.of(loaded.hf), job.method, job.encoded)


def test_auto_takes_the_dearest_of_three_that_is_affordable(base):
    loaded, shape = load_variant(base, name="m"), Shape.of(load_variant(base, name="m").hf)
    [job] = plan(loaded, PROMPTS, Request(kinds=("effect",)))
    costs = [needs(base, estimator) for estimator in estimate.TIERS]
    assert costs == sorted(costs, reverse=True)
    for most, chosen in zip((*costs, 1.0), (*estimate.TIERS, "eap"), strict=True):
        assert estimate.affordable(shape, job.method, job.encoded, most) == chosen


def test_auto_screens_what_is_not_and_says_how_well(base, tmp_path, monkeypatch, capsys):
    exact = ingest(base, tmp_path / "exact", estimator="exact")
    monkeypatch.setattr(jobs, "AFFORDABLE", needs(base, "receiver-exact"))
    run = ingest(base, tmp_path / "auto", reporter=Reporter(quiet=False))
    assert run.method.estimator == "receiver-exact"
    found = run.self_check["screen"]
    assert found["edges"] == list(sample_of(118))
    assert np.allclose(run.arrays[ARRAY], exact.effects[:, found["edges"]], atol=1e-5)
    means = (np.abs(a).mean(0) for a in (run.effects[:, found["edges"]], run.arrays[ARRAY]))
    assert found["rank"] == pytest.approx(spearmanr(*means).statistic)
    assert 0.9 < found["rank"] <= 1
    assert "edges measured exactly it ranks with Spearman" in capsys.readouterr().err


def test_how_well_a_screen_ranks_and_scales_by_hand():
    exact = np.array([[1.0, -2.0, 3.0], [1.0, -2.0, 3.0]])
    screen = np.array([[9.0, 2.0, -4.0, 6.0], [9.0, 2.0, -4.0, 6.0]])
    found = quality({"effects": screen, ARRAY: exact}, [1, 2, 3])
    assert found == {"edges": [1, 2, 3], "rank": pytest.approx(1.0), "scale": pytest.approx(2.0)}
    nothing = quality({"effects": screen, ARRAY: 0 * exact}, [1, 2, 3])
    assert (nothing["rank"], nothing["scale"]) == (None, None)


@pytest.mark.parametrize("estimator", ["receiver-exact", "eap", "eap-ig"])
@pytest.mark.some(1)
def test_estimators_are_runs_of_their_own(base, tmp_path, estimator):
    runs = [
        ingest(base, tmp_path / str(size), estimator=estimator, batch_size=size)
        for size in (1, 3, 16)
    ]
    assert len({run.id for run in runs}) == 1
    assert runs[0].id != ingest(base, tmp_path / "exact", estimator="exact").id
    assert runs[0].method.steps == (5 if estimator == "eap-ig" else 0)
    scale = np.abs(runs[0].effects).max()
    for run in runs[1:]:
        assert np.abs(run.effects - runs[0].effects).max() <= 1e-5 * scale


def test_steps_are_a_key_of_eap_ig_alone(base, tmp_path):
    few, many = (
        ingest(base, tmp_path / str(steps), estimator="eap-ig", steps=steps) for steps in (2, 9)
    )
    assert few.id != many.id
    one, other = (ingest(base, tmp_path / f"e{s}", estimator="eap", steps=s) for s in (2, 9))
    assert one.id == other.id


def test_the_affordable_counts_operations_and_no_time(base):
    loaded = load_variant(base, name="m")
    [job] = plan(loaded, PROMPTS, Request(kinds=("effect",)))
    assert job.sample == ()
    assert estimate.AFFORDABLE == 2e14


def test_effects_in_bfloat16_are_refused_with_the_reason(base, tmp_path):
    with pytest.raises(UsageError, match="``dtype=bfloat16``: most effects are smaller"):
        ingest(base, tmp_path, dtype="bfloat16")


def test_activities_in_bfloat16_are_a_run_of_their_own(base, tmp_path):
    kinds = {"name": "m", "prompts": PROMPTS, "edges": ["correlation"], "load": False}
    [single] = Workspace(tmp_path / "a").ingest(base, **kinds)
    [half] = Workspace(tmp_path / "b").ingest(base, dtype="bfloat16", **kinds)
    assert (single.method.dtype, half.method.dtype) == ("float32", "bfloat16")
    assert single.id != half.id
    apart = np.abs(single.activity - half.activity) / single.activity
    assert 1e-4 < apart.max() < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda:99"}, "``device=cuda:99``: not on this machine; there is cpu"),
        ({"device": "tpu"}, "``device=tpu``: not on this machine"),
        ({"tf32": True}, "``tf32`` is a way of CUDA devices"),
    ],
)
def test_a_device_that_is_not_there_is_refused_before_anything_is_run(
    base, tmp_path, options, message
):
    with pytest.raises(UsageError, match=message):
        ingest(base, tmp_path, **options)
    assert not (tmp_path / "runs").exists()


def test_a_sample_of_effects_is_held_against_float64(base):
    loaded = load_variant(base, name="m")
    [job] = plan(loaded, PROMPTS, Request(kinds=("effect",)))
    model = from_hf(loaded.merged())
    assert apart_from_double(model, job, 118) < 1e-4
    coarse = to_device(to_device(model, "cpu", torch.bfloat16), "cpu", torch.float32)
    assert apart_from_double(coarse, job, 118) < 1e-4  # the model itself is the reference
    assert apart_from_double(to_device(model, "cpu", torch.bfloat16), job, 118) > 1e-3


def test_a_budget_that_loading_has_spent_already_is_refused(base, tmp_path):
    with pytest.raises(UsageError, match="``memory``: "):
        ingest(base, tmp_path, memory=1e7)
    assert not list((tmp_path / "runs").glob("[!.]*"))


def test_every_receiver_exact_run_has_its_sample(base, tmp_path, monkeypatch):
    """However it came about: runs of one id hold the same arrays."""
    asked = ingest(base, tmp_path / "asked", estimator="receiver-exact")
    monkeypatch.setattr(jobs, "AFFORDABLE", needs(base, "receiver-exact"))
    chosen = ingest(base, tmp_path / "chosen")
    assert asked.id == chosen.id
    assert asked.self_check["screen"] == chosen.self_check["screen"]
    assert set(asked.arrays) == set(chosen.arrays)


def test_a_budget_says_what_fits_and_takes_the_best_of_it(base, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(estimate, "matrix_rate", lambda device: 1e6)
    monkeypatch.setattr(estimate, "efficiency", lambda shape, device: 0.5)
    seconds = needs(base, "receiver-exact") / 5e5 * 1.01
    run = ingest(base, tmp_path / "a", budget=seconds, reporter=Reporter(quiet=False))
    assert run.method.estimator == "receiver-exact"
    told = capsys.readouterr().err
    assert "head exact" in told
    assert "(does not); head receiver-exact" in told
    with pytest.raises(UsageError, match=r"exact effects take longer; in about .*; layer eap"):
        ingest(base, tmp_path / "b", estimator="exact", budget=seconds)
    with pytest.raises(UsageError, match="eap effects take longer"):
        ingest(base, tmp_path / "c", budget=1e-3)
    assert not (tmp_path / "c" / "runs").exists()


def test_times_as_people_write_them():
    told = {"90s": 90, "10m": 600, "1.5h": 5400, "30": 30}
    assert {text: read_seconds(text) for text in told} == told
    for text in ("", "0", "ten", "3 d", "-1m", "٣m"):
        with pytest.raises(UsageError, match="write it as 90s"):
            read_seconds(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tf32": True, "dtype": "bfloat16"}, "``tf32`` rounds float32"),
        ({"ray": "local", "memory": 1e9}, "``memory`` bounds one process"),
    ],
)
def test_choices_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Request(kinds=("correlation",), **options).kinds_for(PROMPTS)
