"""Ingest: one run an edge kind, the same whatever the order, the batch or the interruption."""

from __future__ import annotations

import json
import random
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from models import make_adapter, make_model

from circuitgraph.base.components import effect_edges, writers
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.base.progress import Progress, Reporter
from circuitgraph.ingest.check import check_prompts
from circuitgraph.ingest.estimate import edges_of, operations
from circuitgraph.ingest.jobs import plan
from circuitgraph.ingest.memory import KEPT_BY_ALLOCATORS, make_room, working_set
from circuitgraph.ingest.models import ingest_model
from circuitgraph.ingest.parts import in_parts
from circuitgraph.ingest.request import Request
from circuitgraph.ingest.shape import Shape
from circuitgraph.models.distance import drift
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.runs.record import list_runs
from circuitgraph.workspace import Workspace

ROWS = [
    ("w5 w9 w22 w7 w30", "w5 w9 w41 w7 w30", "w8", "w19", "s"),
    ("w50 w9 w22 w7 w30 w12", "w50 w9 w22 w7 w31 w12", "w8", "w9", "s"),
    ("w6 w7", "w61 w7", "w40", "w11", "t"),
    ("w6 w7 w33", "w6 w62 w33", "w40 w12", "w11 w13 w14", "t"),
    ("w20 w21 w22 w23", "w20 w21 w22 w24", "w17 w12", "w17 w13", "t"),
]
PROMPTS = PromptSet(
    tuple(
        Prompt(prompt, scenario, corrupt, answer, wrong, line=number)
        for number, (prompt, corrupt, answer, wrong, scenario) in enumerate(ROWS, start=2)
    ),
    "prompts.jsonl",
)


def without(*names: str) -> PromptSet:
    """The prompts without some of their columns."""
    bare = tuple(replace(p, **dict.fromkeys(names)) for p in PROMPTS)
    return replace(PROMPTS, prompts=bare)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_model("llama", tmp_path_factory.mktemp("model") / "base")


@pytest.fixture(scope="module")
def lora(base, tmp_path_factory):
    return make_adapter(base, tmp_path_factory.mktemp("lora") / "lora")


@pytest.fixture(scope="module")
def loaded(base):
    return load_variant(base, name="m")


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "w")


def by_kind(runs):
    return {run.kind: run for run in runs}


def planned(loaded, prompts=PROMPTS, **options):
    return {job.kind: job for job in plan(loaded, prompts, Request(**options))}


# One run, whatever the order


def test_a_shuffled_file_is_the_same_run_with_the_same_bits(base, tmp_path):
    shuffled = list(PROMPTS.prompts)
    random.Random(3).shuffle(shuffled)
    orders = (PROMPTS, replace(PROMPTS, prompts=tuple(shuffled)))
    runs = [
        by_kind(Workspace(tmp_path / str(k)).ingest(base, name="m", prompts=order, load=False))
        for k, order in enumerate(orders)
    ]
    for kind in ("correlation", "effect"):
        first, second = (r[kind] for r in runs)
        assert first.id == second.id
        assert first.prompts == second.prompts
        assert all(np.array_equal(first.arrays[k], second.arrays[k]) for k in first.arrays)


def test_batches_of_any_size_agree(base, tmp_path):
    effects = []
    for size in (1, 4, 16):
        space = Workspace(tmp_path / str(size))
        runs = by_kind(space.ingest(base, name="m", prompts=PROMPTS, batch_size=size, load=False))
        effects.append(np.hstack([runs["effect"].effects, runs["correlation"].activity]))
        assert len({run.id for run in runs.values()}) == 2
    for other in effects[1:]:
        assert np.abs(other - effects[0]).max() <= 1e-5 * np.abs(effects[0]).max()


def test_which_of_two_spellings_of_one_prompt_is_kept_never_hangs_on_the_order(loaded):
    twin = Prompt("w6   w7", "t", line=9)
    rows = (*without("corrupt", "answer", "wrong_answer").prompts, twin)
    there, back = (
        planned(loaded, replace(PROMPTS, prompts=order))["correlation"]
        for order in (rows, rows[::-1])
    )
    assert there.id == back.id
    assert (there.duplicates, len(there.prompts)) == (1, 5)


def test_the_columns_are_those_of_the_components_module(workspace, base):
    runs = by_kind(workspace.ingest(base, name="m", prompts=PROMPTS, split_inputs=True, load=False))
    assert list(runs["correlation"].components) == writers(3, 4, "head")
    assert list(runs["effect"].edges) == effect_edges(3, 4, 2, "head", "split")
    layers = by_kind(
        workspace.ingest(base, name="m", prompts=PROMPTS, granularity="layer", load=False)
    )
    assert list(layers["correlation"].components) == writers(3, 4, "layer")
    assert layers["effect"].effects.shape == (5, len(effect_edges(3, 4, 2, "layer", "joint")))
    assert len(list_runs(workspace.runs_folder)) == 4


def test_the_same_ingest_twice_is_the_same_run(workspace, base):
    first = workspace.ingest(base, name="m", prompts=PROMPTS)
    again = workspace.ingest(base, name="m", prompts=PROMPTS)
    assert [r.id for r in first] == [r.id for r in again]
    assert [r.created for r in first] == [r.created for r in again]
    assert len(workspace.runs()) == 2


def test_another_adapter_under_the_same_name_says_remove(workspace, base, lora, capsys):
    workspace.ingest(base, name="m", prompts=PROMPTS, load=False)
    with pytest.raises(UsageError, match="'m' already stands for other weights .* remove NAME"):
        workspace.ingest(base, adapter=lora, name="m", prompts=PROMPTS)
    assert len(workspace.runs()) == 2


def test_a_silent_adapter_is_warned_of_and_its_numbers_are_the_base_s(
    workspace, base, tmp_path, capsys
):
    silent = make_adapter(base, tmp_path / "silent", scale=0)
    capsys.readouterr()  # the library's own bar, of making the adapter
    # Without directions a random model's totals point both ways, which is warned of by itself.
    asked = replace(PROMPTS, prompts=tuple(replace(p, direction=1) for p in PROMPTS))
    plain = by_kind(workspace.ingest(base, name="a", prompts=asked, load=False))
    assert capsys.readouterr().err == ""
    tuned = by_kind(workspace.ingest(base, adapter=silent, name="b", prompts=asked, load=False))
    warned = capsys.readouterr().err
    assert warned.count("\n") == 1
    assert "warning: the adapter of 'b' changes no logit at all" in warned
    for kind, run in plain.items():
        assert all(np.array_equal(run.arrays[k], tuned[kind].arrays[k]) for k in run.arrays)
    assert tuned["effect"].self_check["adapter"] == 0.0


def test_the_self_check_is_stored(workspace, base, lora):
    [run] = workspace.ingest(base, adapter=lora, name="m", prompts=PROMPTS, edges=["correlation"])
    assert run.self_check["logits"] <= 1e-5
    assert run.self_check["adapter"] > 0.01
    assert set(run.versions) == {"python", "circuitgraph", "torch", "transformers", "peft"}


# What prompts allow


def test_without_pairs_correlation_alone_and_asking_for_more_is_an_error():
    bare = without("corrupt", "answer", "wrong_answer")
    assert Request().kinds_for(PROMPTS) == ("correlation", "effect")
    assert Request().kinds_for(bare) == ("correlation",)
    with pytest.raises(UsageError, match="has no corrupt, answer and wrong_answer"):
        Request(kinds=("effect",)).kinds_for(bare)
    assert Request(ablation="mean").kinds_for(without("corrupt")) == ("correlation", "effect")
    with pytest.raises(UsageError, match="has no answers, which effects need"):
        Request(kinds=("effect",), ablation="zero").kinds_for(bare)
    with pytest.raises(UsageError, match='which ``activity="projection"`` needs'):
        Request(activity="projection").kinds_for(bare)


@pytest.mark.parametrize(
    "options",
    [
        {"granularity": "neuron"},
        {"activity": "norms"},
        {"ablation": "noise"},
        {"estimator": "guess"},
        {"inputs": "both"},
        {"batch_size": 0},
    ],
)
def test_an_option_of_no_known_value_is_an_error(options):
    with pytest.raises(UsageError, match="choose from|at least 1"):
        Request(**options).kinds_for(PROMPTS)


def test_pairs_of_unequal_length_stop_effects_but_not_ablations(loaded):
    uneven = replace(
        PROMPTS, prompts=(replace(PROMPTS.prompts[0], corrupt="w5"), *PROMPTS.prompts[1:])
    )
    with pytest.raises(InputError, match='line 2 .* ``ablation="mean"``'):
        planned(loaded, uneven)
    assert planned(loaded, uneven, ablation="mean")["effect"].method.ablation == "mean"
    assert set(planned(loaded, uneven, kinds=("correlation",))) == {"correlation"}


def test_prompts_longer_than_the_model_are_named(loaded):
    long = replace(PROMPTS, prompts=(Prompt("w5 " * 70, "s", line=2),))
    with pytest.raises(InputError, match="line 2: 71 tokens; the model can take 64"):
        ingest_model(loaded, long, Request(), None, Reporter())


def test_mean_and_zero_ablation_are_runs_of_their_own(workspace, base):
    runs = [
        by_kind(workspace.ingest(base, name="m", prompts=PROMPTS, ablation=a, load=False))["effect"]
        for a in ("corrupt", "mean", "zero")
    ]
    assert len({run.id for run in runs}) == 3
    for run in runs:
        assert np.isfinite(run.effects).all()
        assert np.abs(run.effects).max() > 0.01
        assert np.allclose(run.arrays["decisions"], runs[0].arrays["decisions"], atol=1e-5)


# Interruptions, the fine print


def test_batches_left_by_another_file_of_the_same_run_are_not_mistaken(
    base, workspace, monkeypatch
):
    """A correlation run does not know of corrupt twins, so neither may its batches."""
    options = {"name": "m", "edges": ["correlation"], "batch_size": 2, "load": False}
    [want] = workspace.ingest(base, prompts=PROMPTS, **options)
    again = Workspace(workspace.path.with_name("again"))
    monkeypatch.setattr("circuitgraph.ingest.models.write_run", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        again.ingest(base, prompts=PROMPTS, **options)
    monkeypatch.undo()
    assert list(again.runs_folder.glob(".*.work-*/*"))
    [got] = again.ingest(base, prompts=without("corrupt", "answer", "wrong_answer"), **options)
    assert got.id == want.id
    assert np.array_equal(got.activity, want.activity)
    assert [p.name for p in again.runs_folder.iterdir()] == [got.id]


def _interrupt(*_):
    raise KeyboardInterrupt


def test_batches_that_are_there_are_not_computed_again(tmp_path):
    batches = [[2, 0], [1]]
    computed = []

    def compute(rows):
        computed.append(list(rows))
        return {"x": np.array([[10.0 * r] for r in rows])}

    first = in_parts(batches, compute, tmp_path / "work", Progress())
    assert first["x"].tolist() == [[0.0], [10.0], [20.0]]
    (tmp_path / "work" / "000001.safetensors").unlink()
    second = in_parts(batches, compute, tmp_path / "work", Progress())
    assert np.array_equal(first["x"], second["x"])
    assert computed == [[2, 0], [1], [1]]


# What is said before and after


def test_the_estimate_counts_operations(loaded):
    shape = Shape.of(loaded.hf)
    one = replace(PROMPTS, prompts=PROMPTS.prompts[2:3])
    job = planned(loaded, one)["effect"]
    d, heads, mlp, kv = 32, 32 * 32, 32 * 48, 32 * 16
    block = 2 * heads + 2 * kv + 3 * mlp
    assert (shape.block_weights, shape.width, shape.hidden, shape.gated) == (block, d, 48, True)
    senders = [1, 6, 11]
    blocks = sum((4 * s + s + 4) * (3 - layer - 0.5) for layer, s in enumerate(senders))
    # two forwards over 3 tokens, and each edge again over the 2 from the first difference on
    exact = 2 * 3 * 3 * 2 * block + 2 * 2 * block * blocks
    assert operations(shape, job.method, job.encoded) == pytest.approx(exact)
    cheaper = [
        operations(shape, replace(job.method, estimator=name), job.encoded)
        for name in ("eap", "receiver-exact", "exact")
    ]
    assert cheaper == sorted(cheaper)


def test_an_adapter_changes_no_size_that_costs_are_counted_from(base, lora, loaded):
    assert Shape.of(load_variant(base, lora).hf) == Shape.of(loaded.hf)


def test_a_budget_makes_smaller_batches_and_then_smaller_chunks(loaded):
    job = planned(loaded)["effect"]
    shape = Shape.of(loaded.hf)

    def room(budget):
        return make_room(shape, job.method, job.encoded, 16, budget, 1e6)

    free = room(None)
    assert (free.batch_size, room(free.peak)) == (5, free)
    floor = 1e6 + KEPT_BY_ALLOCATORS
    budgets = [floor + share * (free.peak - floor) for share in (0.6, 0.4, 0.2)]
    tight = [room(budget) for budget in budgets]
    sizes = [(r.batch_size, r.chunk_rows) for r in (free, *tight)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4
    assert all(r.peak <= budget for r, budget in zip(tight, budgets, strict=True))
    with pytest.raises(UsageError, match="needs at least"):
        room(1.0001 * floor)


def test_the_matrix_of_results_is_counted_in_float32(loaded):
    """1,000 prompts × 100,000 edges are 400 MB, by hand."""
    job = planned(loaded)["effect"]
    shape = replace(Shape.of(loaded.hf), layers=26, heads=17, kv_heads=17)
    columns = len(edges_of(shape, job.method))
    assert 90_000 < columns < 110_000
    encoded = [job.encoded[0]] * 2000
    half, whole = (working_set(shape, job.method, encoded[:n], 16, 1024) for n in (1000, 2000))
    assert whole - half == 4 * 1000 * columns
    hooked = replace(shape, hooked=True)
    half, whole = (working_set(hooked, job.method, encoded[:n], 16, 1024) for n in (1000, 2000))
    assert whole - half == 4 * 1000 * columns


def test_remarks_name_the_check_and_the_cost(base, tmp_path, capsys):
    space = Workspace(tmp_path, reporter=Reporter(quiet=False))
    space.ingest(base, name="m", prompts=PROMPTS, load=False)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "self-check: logits agree to" in captured.err
    assert "effect: 5 prompts × 118 edges (exact), 2.4 kB on disk" in captured.err
    assert re.search(r"memory: [\d.]+ [MG]B at most, in batches of 5 prompts", captured.err)


def test_drift_is_nothing_to_oneself_and_something_to_an_adapter(workspace, base, lora, tmp_path):
    options = {"prompts": PROMPTS, "edges": ["correlation"], "load": False}
    copy = shutil.copytree(base, tmp_path / "copy")
    [plain] = workspace.ingest(copy, name="a", **options)
    [tuned] = workspace.ingest(copy, adapter=lora, name="b", **options)
    assert drift(plain, plain) == {"weights": 0.0, "kl": 0.0}
    apart = drift(plain, tuned)
    assert apart["weights"] > 0.01
    assert apart["kl"] > 0.001
    (copy / "model.safetensors").unlink()
    assert drift(plain, tuned) is None


def test_drift_between_models_of_other_shapes_is_not_measured(workspace, base, tmp_path):
    options = {"prompts": PROMPTS, "edges": ["correlation"], "load": False}
    other = make_model("qwen2", tmp_path / "other")
    runs = [workspace.ingest(m, name=m.name, **options)[0] for m in (base, other)]
    assert drift(*runs) is None


def test_the_check_tells_what_a_model_makes_of_the_prompts(base, tmp_path):
    file = tmp_path / "prompts.jsonl"
    names = ("prompt", "corrupt", "answer", "wrong_answer", "scenario")
    rows = [dict(zip(names, row, strict=True)) for row in ROWS]
    file.write_text("\n".join(map(json.dumps, rows)))
    report = check_prompts(file, str(base))
    assert report.problems == ()
    assert report.model.tokens == (3, 7)
    assert (report.model.bos, report.model.answer_tokens, report.model.unequal) == ("added", 3, ())
    assert 1 <= report.model.moved <= 5
    assert set(report.model.totals) == {"s", "t"}
    rows[2]["corrupt"] = "w61"
    file.write_text("\n".join(map(json.dumps, rows)))
    report = check_prompts(file, str(base))
    assert report.model.unequal == (3,)
    assert "line 3 (3 and 2 tokens)" in report.problems[0]
    json.dumps(report.to_dict())
    assert any(line.startswith("PROBLEM") for line in report.lines())
