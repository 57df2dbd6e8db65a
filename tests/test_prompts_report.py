"""``prompts check`` without a model: counts, thresholds, and whether its promise of power holds."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import stdtr

from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.report import check_text
from circuitgraph.stats.power import smallest_visible


def prompts(per_scenario: int, scenarios: int, *, pairs: bool = True) -> PromptSet:
    made = [
        Prompt(f"p{i}", f"s{s}", *(("c", "x", "y") if pairs else ()), direction=1, line=i + 1)
        for s in range(scenarios)
        for i in range(s * per_scenario, (s + 1) * per_scenario)
    ]
    return PromptSet(tuple(made), "file")


@pytest.mark.parametrize(
    ("per_scenario", "correlation", "effect"),
    [(1, "insufficient", "insufficient"), (2, "insufficient", "low"), (4, "insufficient", "low"),
     (5, "low", "ok"), (10, "low", "ok"), (11, "ok", "ok")],
)  # fmt: skip
def test_evidence(per_scenario: int, correlation: str, effect: str) -> None:
    report = check_text(prompts(per_scenario, 5))
    assert [lens.evidence for lens in report.lenses] == [correlation, effect]
    assert [lens.n_effective for lens in report.lenses] == [5 * per_scenario - 5] * 2
    assert [lens.sign_floor for lens in report.lenses] == [1 / 16] * 2
    assert [lens.detectable is None for lens in report.lenses] == [
        correlation == "insufficient", effect == "insufficient"]  # fmt: skip


def test_findings() -> None:
    base = prompts(12, 2)
    odd = replace(base.prompts[0], prompt="c", direction=None, scenario="alone", line=77)
    report = check_text(PromptSet((*base.prompts, base.prompts[0], odd), "file"))
    text = "\n".join(report.lines())
    assert report.rows == 26
    assert report.directions == "from totals"
    for finding in (
        "26 prompts in 3 scenarios: 'alone' 1, 's0' 13, 's1' 12",
        "25 distinct prompts − 3 scenarios = 22 effective; low (50 advised)",
        "1 of 26 prompts repeat an earlier one",
        "1 of 3 scenarios have one distinct prompt ('alone')",
        "corrupt equals prompt on line 77",
        "no direction on line 77",
    ):
        assert finding in text


def test_without_pairs_there_is_one_lens() -> None:
    report = check_text(prompts(12, 5, pairs=False))
    assert [lens.lens for lens in report.lenses] == ["correlation"]
    assert report.directions == ""
    assert json.loads(json.dumps(report.to_dict()))["lenses"][0]["n_effective"] == 55


def test_answers_without_corrupt_twins() -> None:
    answers = [replace(p, answer="x", wrong_answer="y") for p in prompts(12, 5, pairs=False)]
    assert 'ablation="mean"' in check_text(PromptSet(tuple(answers), "file")).lines()[-1]


def test_twenty_scenarios_reach_beyond_themselves() -> None:
    assert "can also stand" in check_text(prompts(3, 20)).lenses[0].scope
    assert "these scenarios only" in check_text(prompts(3, 19)).lenses[0].scope


def worst_case(df: int, margin: float) -> float:
    """What one test at 5% sees of two independent correlations near 0."""
    return smallest_visible(math.sqrt(2 / df), df, alpha=0.05, power=0.8, margin=margin)


def test_visible_changes_by_hand() -> None:
    # t(60): .95 → 1.6706, .975 → 2.0003, .8 → 0.8477; the margin's far side costs a little
    assert worst_case(60, 0.0) == pytest.approx(2.8480 / math.sqrt(30), rel=1e-2)
    assert worst_case(60, 0.1) == pytest.approx(0.1 + 2.5183 / math.sqrt(30), rel=2e-2)


@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_the_promised_change_is_found_four_times_in_five(margin: float) -> None:
    """The diff's own test on two independent variants, r from −δ/2 to δ/2."""
    n, scenarios, repeats = 60, 5, 1000
    change = worst_case(n - scenarios, margin)
    rng = np.random.default_rng(0)
    a, b = (draw(rng, repeats, n, scenarios, r) for r in (-change / 2, change / 2))
    r_a, r_b = (z.prod(-1).mean(-1) for z in (a, b))
    half = (r_a + r_b)[:, None] / 4
    d = (b.prod(-1) - half * (b**2).sum(-1)) - (a.prod(-1) - half * (a**2).sum(-1))
    df = n - scenarios
    se = d.std(-1, ddof=1) / math.sqrt(n) * math.sqrt((n - 1) / df)
    delta = abs(r_b - r_a)
    p = stdtr(df, -(delta - margin) / se) + stdtr(df, -(delta + margin) / se)
    assert (p < 0.05).mean() == pytest.approx(0.8, abs=0.05)


def draw(rng: np.random.Generator, repeats: int, n: int, scenarios: int, r: float) -> np.ndarray:
    x = rng.normal(size=(repeats, n, 2))
    x[..., 1] = r * x[..., 0] + math.sqrt(1 - r * r) * x[..., 1]
    grouped = x.reshape(repeats, scenarios, n // scenarios, 2)
    x = (grouped - grouped.mean(2, keepdims=True)).reshape(repeats, n, 2)
    return x / x.std(1, keepdims=True)
