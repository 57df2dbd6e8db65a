"""Signs are a property of a prompt set: what is told of totals, and what is written down."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import effect_run
from shell import IPD

from circuitgraph import Workspace
from circuitgraph.base.errors import UsageError
from circuitgraph.diff import compare_runs
from circuitgraph.prompts.template import Moment
from circuitgraph.runs.conventions import (
    forget_unused,
    list_settled,
    read_day,
    settle_day,
    settle_signs,
)
from circuitgraph.runs.conventions_file import read_signs
from circuitgraph.runs.record import list_runs, read_run, write_run
from circuitgraph.runs.signs import against_direction, agreement, cancels, notes, undirected

MIXED = [1.0] * 11 + [-1.0] * 19
NAMED = {"name_a": "a", "name_b": "b", "lens": "effect"}


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        (MIXED, True),
        ([1.0] * 29 + [-1.0], False),  # one line that is odd
        ([1.0] * 20 + [-0.01] * 10, False),  # the others hardly moved
        ([5.0] * 20 + [-1.0] * 10, False),  # the mean is what most say
        ([0.0] * 5, False),
        ([1.0, -1.0], False),  # one of two is an odd one
        ([1.0, 1.0, -1.0, -1.0], True),
    ],
)
def test_totals_cancel_where_a_good_part_goes_the_other_way(totals, expected):
    assert cancels(np.array(totals)) is expected


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=20),
    st.floats(0.25, 4),
    st.randoms(use_true_random=False),
)
def test_cancelling_is_blind_to_order_sign_and_scale(totals, scale, random):
    shuffled = random.sample(totals, len(totals))
    shifted = np.array(totals) * 2.0 ** round(scale)
    assert cancels(np.array(totals)) == cancels(-shifted)
    exact = [round(t * 8) / 8 for t in totals]
    assert cancels(np.array(exact)) == cancels(np.array([round(t * 8) / 8 for t in shuffled]))


def test_what_is_said_of_totals_that_point_both_ways_names_counts_and_the_way_out():
    [said], cancel = notes(["mine"] * 30, [None] * 30, np.array(MIXED))
    assert cancel
    assert said == (
        "in scenario 'mine' corruption raises the decision on 11 prompts and lowers it on 19: "
        "effects cancel; are answer and wrong_answer exchanged on some lines? give direction"
    )


def test_directions_against_the_totals_are_noted_and_taken_at_their_word():
    wrong = notes(["mine"] * 30, [1] * 30, np.full(30, -1.6))
    assert "direction contradicts the measured totals on 30 of 30" in wrong[0][0]
    # An untrained base need not go where a variant that learnt it does.
    assert notes(["mine"] * 30, [1] * 30, np.full(30, -1.6), [np.full(30, 8.0)]) == ([], False)
    assert not wrong[1]
    # few large ones against many small ones: the mean is beyond noise, so the variant goes against
    few = np.array([0.25] * 20 + [-4.5] * 10)
    assert "on 10 of 30 prompts of" in notes(["mine"] * 30, [1] * 30, few, [few])[0][0]
    right = [1 if total > 0 else -1 for total in MIXED]
    assert notes(["mine"] * 30, right, np.array(MIXED)) == ([], False)


@pytest.mark.parametrize(("count", "rows"), [(40, 3), (20, 2), (20, 3), (5, 3)])
def test_answers_exchanged_on_every_second_line_of_small_scenarios_are_noticed(count, rows):
    names = [f"s{i // rows}" for i in range(count * rows)]
    sizes = np.random.default_rng(0).uniform(0.5, 1.5, count * rows)
    free = [None] * len(names)
    exchanged = sizes * np.where(np.arange(len(names)) % 2, -1, 1)
    [said], cancel = notes(names, free, exchanged)
    assert cancel
    assert said.startswith("over all scenarios corruption moves the decision with the rest of")
    assert notes(names, free, sizes) == ([], False)
    # the same beside a scenario that goes one way, or where each small one has its own way
    more, ones = [*names, *["big"] * 90], np.ones(90)
    assert undirected(more, [None] * len(more), np.concatenate([exchanged, ones]))
    ways = np.repeat(np.random.default_rng(1).choice([-1, 1], count), rows)
    assert notes(names, free, sizes * ways) == ([], False)


def test_agreement_with_the_rest_of_a_scenario_by_hand():
    found = agreement(["a", "b", "a", "a", "b", "c"], np.array([1.0, 2.0, 3.0, -2.0, 4.0, 9.0]))
    # a: 1·½, 3·−½, −2·2 over 2; b: 2·4 and 4·2 over 3; c stands alone
    assert found == pytest.approx([0.25, 8 / 3, -0.75, -2.0, 8 / 3, 0.0])


@pytest.mark.parametrize(("exchanged", "least", "most"), [(0, 0, 1), (5, 65, 100), (6, 85, 100)])
def test_exchanged_lines_of_one_scenario_are_told_from_noise(exchanged, least, most):
    rng = np.random.default_rng(0)
    turn = np.array([-1.0] * exchanged + [1.0] * (24 - exchanged))
    found = sum(cancels(turn * rng.normal(1, 0.7, 24)) for _ in range(100))
    assert least <= found <= most


def test_where_a_variant_at_hand_goes_one_way_no_line_was_exchanged():
    free = [None] * 30
    assert undirected(["s"] * 30, free, np.array(MIXED), [np.ones(30)]) == []
    # and what cancels in the variants is said though it hardly shows in the base
    base = np.array([1.0] * 22 + [-0.5] * 8)
    assert undirected(["s"] * 30, free, base) == []
    assert undirected(["s"] * 30, free, base, [np.array(MIXED)])


def test_one_variant_against_the_directions_is_a_plain_note_beyond_noise_only():
    names, up = ["a"] * 24 + ["b"] * 24, [1] * 48
    totals = np.array(([-1.0, -2.0] * 12) + [3.0, -3.0] * 12)
    assert against_direction("base", names, up, totals) == [
        "base: corruption moves the decision against `direction` on 24 of 24 prompts of scenario "
        "'a' (a model that was not trained for these may)"
    ]
    assert against_direction("base", names, [None] * 48, totals) == []
    # mean −0.4, sd 2.2: with 24 of them nothing is known
    assert against_direction("base", ["b"] * 24, [1] * 24, np.array([1.75, -2.55] * 12)) == []
    alone = against_direction("base", [str(i) for i in range(9)], [-1] * 9, np.ones(9))
    assert "on 9 of 9 prompts (a model" in alone[0]


def run_without(name, totals, effects=None):
    n = len(totals)
    effects = np.ones((n, 3)) if effects is None else effects
    run = effect_run(effects, ["s"] * n, name, directions=[None] * n, totals=np.array(totals))
    return replace(run, prompt_set="texts")


def test_the_first_run_writes_the_signs_and_no_later_one_changes_them(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    base, tuned = run_without("base", [-1, -1, -3]), run_without("tuned", [2, 2, 2])
    for run in (base, tuned):
        settle_signs(run, folder)
        write_run(run, folder)
    for run in (base, tuned):
        found = read_run(folder / run.id).signs
        assert (found.variant, found.by_scenario, found.totals) == ("base", {"s": -1}, (-1, -1, -3))
    # the same texts read by another tokenizer: the same signs, its own totals
    other = replace(run_without("other", [4, 4, 4]), prompts_fingerprint="otherwise")
    settle_signs(other, folder)
    assert write_run(other, folder).signs.by_scenario == {"s": -1}
    # what an ablation moves has a sign of its own
    mean = replace(tuned, method=replace(tuned.method, ablation="mean"))
    settle_signs(mean, folder)
    record = {"prompts_fingerprint": "prompts", "method": {"kind": "effect", "ablation": "mean"}}
    assert read_signs(folder, record).by_scenario == {"s": 1}


def test_a_lost_record_leaves_all_runs_with_the_same_signs(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    tuned, base = run_without("tuned", [2, 2, 2]), run_without("base", [-1, -1, -3])
    tuned = replace(tuned, variant=replace(tuned.variant, adapter="lora"))
    base = replace(base, created="2026-01-02T00:00:00")  # later, and still the base
    for run in (tuned, base):
        write_run(run, folder)
    assert [run.signs for run in list_runs(folder)] == [None, None]
    assert [run.signs.variant for run in list_settled(folder)] == ["base", "base"]
    # the next ingest writes down the same, not its own
    late = replace(run_without("late", [5, 5, 5]), created="2026-01-03T00:00:00")
    settle_signs(late, folder)
    assert write_run(late, folder).signs.by_scenario == {"s": -1}


def test_an_adapter_that_comes_first_takes_the_signs_of_its_base(tmp_path):
    lines = (IPD / "prompts.jsonl").read_text("utf-8").splitlines()[::24]
    rows = [{**json.loads(line), "direction": None} for line in lines]
    workspace = Workspace(tmp_path)
    options = {"prompts": rows, "edges": "effect", "load": False}
    adapter = IPD / "variants" / "deontological"
    [tuned] = workspace.ingest(IPD / "base", adapter=adapter, name="tuned", **options)
    [base] = workspace.ingest(IPD / "base", name="base", **options)
    assert tuned.signs == base.signs
    assert tuned.signs.variant == "base"
    np.testing.assert_allclose(tuned.signs.totals, base.totals, atol=1e-4)
    assert not np.allclose(tuned.totals, base.totals, atol=0.1)


def test_signs_that_the_workspace_gave_are_part_of_what_a_diff_is(tmp_path):
    ids = set()
    for order in ((0, 1), (1, 0)):
        folder = tmp_path / str(order[0]) / "runs"
        folder.mkdir(parents=True)
        runs = [run_without("a", [-1, -1, -3]), run_without("b", [2, 2, 2])]
        for i in order:
            settle_signs(runs[i], folder)
            write_run(runs[i], folder)
        ids.add(compare_runs(*[[read_run(folder / run.id)] for run in runs], **NAMED).id)
    assert len(ids) == 2


def test_where_totals_point_both_ways_nothing_is_called_unchanged():
    rng = np.random.default_rng(0)
    effects = rng.normal(1, 1e-4, (30, 3))
    sides = [run_without(name, MIXED, effects + rng.normal(0, 1e-5, (30, 3))) for name in "ab"]
    diff = compare_runs(sides[:1], sides[1:], **NAMED)
    assert set(diff.table["verdict"]) == {"not_detected"}
    assert any("on 11 prompts and lowers it on 19" in remark for remark in diff.summary["remarks"])
    alike = [replace(run, _arrays={**run.arrays, "totals": np.ones(30)}) for run in sides]
    assert set(compare_runs(alike[:1], alike[1:], **NAMED).table["verdict"]) == {"unchanged"}


def test_the_day_of_a_prompt_set_is_written_once(tmp_path):
    folder = tmp_path / "runs"
    assert read_day(folder, "texts") is None
    assert not list(tmp_path.rglob("*.json"))
    settle_day(folder, "texts", Moment("2020-02-03"))
    assert read_day(folder, "texts") == Moment("2020-02-03")
    settle_day(folder, "texts", Moment.of("2020-02-03"))
    settle_day(folder, "texts", Moment("2020-02-03"))  # what is named stays named
    with pytest.raises(UsageError, match="told these prompts 2020-02-03 .* 2021-01-01; run"):
        settle_day(folder, "texts", Moment("2021-01-01"))
    assert read_day(folder, "texts") == Moment("2020-02-03", given=True)
    assert read_day(folder, "others") is None
    assert json.loads((tmp_path / "prompts" / "texts.json").read_text())["day"] == "2020-02-03"


def test_what_is_written_down_goes_with_the_last_run_that_rests_on_it(tmp_path):
    folder, rendered = tmp_path / "runs", {"date": "2020-02-03"}
    base, tuned = run_without("base", [-1, -1, -3]), run_without("tuned", [2, 2, 2])
    base, tuned = (replace(run, prompt_set="texts") for run in (base, tuned))
    told = replace(base, prompts_fingerprint="told", rendered=rendered)
    settle_day(folder, "texts", Moment.of("2020-02-03"))
    settle_day(folder, "others", Moment.of("2020-02-03"))
    for run in (base, tuned, told):
        settle_signs(run, folder)

    def there():
        files = sorted((tmp_path / "prompts").glob("*.json"))
        return {file.stem: set(json.loads(file.read_text())) for file in files}

    day, signs = {"day", "day_given"}, {"signs corrupt"}
    before = {"others": day, "prompts": signs, "texts": day | signs, "told": signs}
    assert there() == before
    forget_unused(folder, [base], [tuned, told])  # another run rests on its signs
    assert there() == before
    forget_unused(folder, [told], [tuned])  # nobody left is told a day
    assert there() == {"others": day, "prompts": signs, "texts": signs}
    forget_unused(folder, [tuned], [])
    assert there() == {"others": day}
    settle_signs(tuned, folder)  # as the first run of a new workspace
    record = {"prompts_fingerprint": "prompts", "method": {"kind": "effect", "ablation": "corrupt"}}
    assert read_signs(folder, record).by_scenario == {"s": 1}
