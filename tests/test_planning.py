"""What designs can show: the formula by hand, against the real diff, and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from asking import compare_runs
from measured import effect_run, table_run
from scipy.stats import nct
from shell import IPD, cli, done, rows

from circuitgraph import Workspace
from circuitgraph.diff.outcome import compare_sides
from circuitgraph.diff.outlook import Asked, noise_of
from circuitgraph.lenses.base import Options
from circuitgraph.lenses.effect.lens import Effect
from circuitgraph.lenses.noise import Design, Noise
from circuitgraph.stats.power import (
    bh_level,
    critical,
    power_at,
    smallest_visible,
    visible_on_typical_edge,
)

EDGES, CHANGED = 200, 8
SHARE = CHANGED / EDGES


def test_the_smallest_visible_change_is_the_textbook_one() -> None:
    # z₀.₉₇₅ + z₀.₈ and, far from the margin's other side, z₀.₉₅ + z₀.₈
    plain = smallest_visible(0.5, np.inf, alpha=0.05, power=0.8)
    assert plain == pytest.approx(0.5 * (1.959964 + 0.841621), rel=1e-5)
    beyond = smallest_visible(0.5, np.inf, alpha=0.05, power=0.8, margin=10)
    assert beyond == pytest.approx(10 + 0.5 * (1.644854 + 0.841621), rel=1e-5)
    assert smallest_visible(0.0, 10, alpha=0.05, power=0.8, margin=0.1) == 0.1
    # A test at level .9 claims as much of what did not change: 0 has that power already.
    assert smallest_visible(0.5, 10, alpha=0.9, power=0.8) == 0.0
    for df in (0, -3, np.nan):
        assert np.isnan(smallest_visible(0.5, df, alpha=0.05, power=0.8))


@pytest.mark.parametrize("df", [2, 4.5, 20, 300])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_power_is_that_of_the_noncentral_t(df: float, alpha: float) -> None:
    shift = smallest_visible(1.0, df, alpha=alpha, power=0.8)
    t = critical(alpha, df)
    assert nct.sf(t, df, shift) + nct.cdf(-t, df, shift) == pytest.approx(0.8, abs=2e-3)
    assert power_at(0.0, t, df) == pytest.approx(alpha, rel=0.05)


def test_the_level_of_one_test_under_benjamini_hochberg() -> None:
    assert bh_level(0.05, 200, 0.04, 0.75) == pytest.approx(0.05 * 6 / 200)
    assert bh_level(0.05, 200, 1e-9, 0.8) == pytest.approx(0.05 / 200)  # the one edge itself
    assert bh_level(0.05, 1, 1.0, 0.8) == pytest.approx(0.05)


def test_more_prompts_and_more_seeds_show_more() -> None:
    noise = Noise(np.full(50, 0.1), np.full(50, 0.05), 2.0)
    asked = Asked(Effect(), "recipe", 0.01, 1e-3)
    sizes = [asked.visible(noise, Design(100, 5, k)) for k in (3, 5, 8, 50)]
    assert sizes == sorted(sizes, reverse=True)
    few, many = (asked.visible(noise, Design(n, 5, 5)) for n in (40, 4000))
    assert few > many > 0.01
    for design in (Design(100, 5, 1), Design(100, 5, 2), Design(5, 5, 3)):
        assert asked.evidence(noise, design) == "insufficient"
        assert np.isnan(asked.visible(noise, design))


def effects(rng, n, moved, levels, sigma, name, spread=0.0):
    """Effects that vary by sigma over prompts, and by spread between replicates."""
    level = levels + spread * rng.normal(size=EDGES)
    level[:CHANGED] += moved
    return effect_run(level + sigma * rng.normal(size=(n, EDGES)), np.arange(n) % 5, name)


def found(a, b, scope, margin) -> float:
    """Share of the changed edges that the real diff claims."""
    sides = {"name_a": "A", "name_b": "B", "lens": "effect", "scope": scope}
    diff = compare_runs(a, b, scale="logit", margin=margin, **sides)
    return float(diff.table["verdict"].iloc[:CHANGED].isin(["rewired", "gained", "lost"]).mean())


@pytest.mark.parametrize(("n", "margin"), [(25, 0.0), (60, 0.1)])
def test_a_pilot_predicts_what_the_diff_of_two_models_claims(n: int, margin: float) -> None:
    rng = np.random.default_rng(n)
    levels = 1 + rng.random(EDGES)
    pilot = [effects(rng, 40, 0.0, levels, 1.0, name) for name in "AB"]
    noise = noise_of(
        compare_sides(pilot[:1], pilot[1:], Options(Effect("logit"), margin=margin)),
        Effect("logit"),
    )
    assert np.median(noise.prompt) == pytest.approx(2**0.5, rel=0.05)
    asked = Asked(Effect(), "checkpoint", margin, bh_level(0.05, EDGES, SHARE, 0.8))
    moved = asked.visible(noise, Design(n, 5))
    shares = [
        found(
            [effects(rng, n, 0.0, levels, 1.0, "A")],
            [effects(rng, n, moved, levels, 1.0, "B")],
            "checkpoint",
            margin,
        )
        for _ in range(40)
    ]
    assert np.mean(shares) == pytest.approx(0.8, abs=0.07)


@pytest.mark.thorough
def test_a_pilot_predicts_what_the_diff_of_two_recipes_claims() -> None:
    rng = np.random.default_rng(3)
    levels = np.exp(rng.normal(size=EDGES))

    def group(k: int, moved: float, name: str) -> list:
        return [effects(rng, 40, moved, levels, 0.1, f"{name}{i}", spread=0.2) for i in range(k)]

    options = Options(Effect("logit"), "recipe", margin=0.1)
    shares = []
    for _ in range(4):  # a pilot of three seeds may itself be lucky
        noise = noise_of(
            compare_sides(group(3, 0.0, "A"), group(3, 0.0, "B"), options), options.lens
        )
        assert noise.spread is not None
        assert np.median(noise.spread) == pytest.approx(0.2, rel=0.15)
        asked = Asked(Effect(), "recipe", 0.1, bh_level(0.05, EDGES, SHARE, 0.8))
        moved = asked.visible(noise, Design(40, 5, 5))
        shares += [
            found(group(5, 0.0, "A"), group(5, moved, "B"), "recipe", 0.1) for _ in range(10)
        ]
    assert np.mean(shares) == pytest.approx(0.8, abs=0.07)


def test_a_diff_says_what_it_could_see_and_what_more_would_show() -> None:
    rng = np.random.default_rng(0)
    levels = 1 + rng.random(EDGES)
    sides = {"name_a": "A", "name_b": "B"}
    a, b = ([effects(rng, 40, 0.0, levels, 1.0, f"{s}{i}") for i in range(3)] for s in "AB")

    def outlook(*runs: list, **options: str) -> str:
        remarks = compare_runs(*runs, lens="effect", **sides, **options).summary["remarks"]
        [line] = [r for r in remarks if r.startswith("with ")]
        return line

    one = outlook(a[:1], b[:1])
    assert one.startswith("with 40 prompts in 5 scenarios the smallest visible change is 0.0")
    assert "100 would show 0.0" in one
    recipe = outlook(a, b, scope="recipe")
    assert recipe.startswith("with 3 seeds a side you can see a change of 0.0")
    assert "5 would show 0.0" in recipe
    fixed = outlook(a[:1], b, scope="recipe")
    assert fixed.startswith("with 3 seeds against a fixed reference you can see a change of 0.0")
    for few in (
        compare_runs(a[:2], b[:2], lens="effect", scope="recipe", **sides),
        compare_runs(a[:1], a[:1], lens="effect", **sides),
    ):
        assert not any(r.startswith("with ") for r in few.summary["remarks"])
    table = [table_run(rng.normal(size=(12, 6)), [0] * 12, name) for name in "AB"]
    remarks = compare_runs(table[:1], table[1:], lens="correlation", **sides).summary["remarks"]
    assert not any(line.startswith("with ") for line in remarks)


def test_plan_without_anything_assumes_and_says_so(tmp_path: Path) -> None:
    on = ("-w", tmp_path / "nothing")
    table = rows("plan", *on)
    assert {row["basis"] for row in table} == {"assumed"}
    assert {(row["lens"], row["scope"]) for row in table} == {
        *(
            (lens, scope)
            for lens in ("correlation", "effect")
            for scope in ("checkpoint", "recipe")
        ),
        ("wiring", "checkpoint"),
    }
    assert all(row["hours"] is None for row in table)
    assert "assumed: as noisy as" in done("plan", *on).out
    assert not (tmp_path / "nothing").exists()
    typical = [row["typical"] for row in rows("plan", "--lens", "effect", *on)]
    assert typical[0] > typical[1]
    assert typical[2] > typical[3]
    for words in (("--power", ".95"), ("--alpha", ".001"), ("--changed", ".001")):
        harder = [row["typical"] for row in rows("plan", "--lens", "effect", *words, *on)]
        assert all(np.array(harder) > np.array(typical))


def test_plan_and_prompts_check_give_one_answer(tmp_path: Path) -> None:
    lines = [
        {
            "prompt": f"p{i}",
            "corrupt": f"c{i}",
            "answer": "a",
            "wrong_answer": "b",
            "scenario": f"s{i % 4}",
            "direction": 1,
        }
        for i in range(64)
    ]
    file = tmp_path / "prompts.jsonl"
    own = lines[0]  # which stands a second time, exchanged: one observation, but two activities
    twin = {"prompt": own["corrupt"], "corrupt": own["prompt"], "direction": -1}
    file.write_text("\n".join(map(json.dumps, [*lines, own | twin])))
    counts = {"correlation": 65, "effect": 64}
    checked = json.loads(done("prompts", "check", file, "--json").out)
    table = rows("plan", "--prompts", file, "-w", tmp_path / "w")
    for report in checked["text"]["lenses"]:
        planned = next(row for row in table if row["lens"] == report["lens"])
        assert (planned["scope"], planned["prompts"]) == ("checkpoint", report["n"])
        assert report["n"] == counts[report["lens"]]
        assert report["detectable"] == pytest.approx(planned["typical"], abs=1e-4)
        found = visible_on_typical_edge(report["lens"], report["n"], 4)
        assert found == pytest.approx(planned["typical"], rel=1e-3)


def test_plan_says_what_no_design_of_that_size_can_tell(tmp_path: Path) -> None:
    on = ("-w", tmp_path)
    answer = done("plan", "--prompts", "8", "--scenarios", "8", "--seeds", "2", *on)
    assert "correlation: insufficient, 8 prompts − 8 scenarios leave 0, 20 are needed" in answer.out
    assert "recipe scope: insufficient with 2 seeds a side" in answer.out
    table = rows("plan", "--prompts", "8", "--scenarios", "8", "--seeds", "1", *on)
    asked = [row for row in table if row["prompts"] == 8 and row["lens"] != "wiring"]
    assert {row["evidence"] for row in asked} == {"insufficient"}
    assert all(row["typical"] is None for row in asked)


def test_plan_with_a_model_and_a_pilot(study: Path) -> None:
    words = ("plan", IPD / "base", "--prompts", IPD / "prompts.jsonl", "-w", study)
    table = rows(*words, "--pilot", "deontological:utilitarian")
    assert {row["basis"] for row in table} == {"pilot"}
    first = next(row for row in table if row["lens"] == "effect")
    observed = 115  # of 120 prompts: five pairs stand both ways
    assert (first["prompts"], first["scenarios"], first["variants"]) == (observed, 5, 2)
    assert first["bytes"] == 2 * observed * 207 * 4
    assert 0 < first["hours"] < 1
    split = rows(*words, "--split-inputs", "--lens", "effect")
    assert split[0]["bytes"] == 2 * observed * 479 * 4
    pilot = Workspace(study).plan(pilot="deontological", lens="effect")
    assert set(pilot.table["basis"]) == {"pilot"}
    assert pilot.table["prompts"].iloc[0] == 25  # the pilot's own


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--prompts", "0"), "--prompts 0"),
        (("--prompts", "-4"), "--prompts -4"),
        (("--prompts", "nowhere.jsonl"), "no such file"),
        (("--prompts", "10", "--scenarios", "11"), "more than the 10 prompts"),
        (("--scenarios", "0"), "--scenarios 0"),
        (("--seeds", "0"), "--seeds 0"),
        (("--edges", "-1"), "--edges -1"),
        (("--tokens", "0"), "--tokens 0"),
        (("--power", "1"), "--power 1"),
        (("--power", "nan"), "--power nan"),
        (("--power", "0.01"), "--power 0.01"),
        (("--alpha", "0"), "--alpha 0"),
        (("--alpha", "nan"), "--alpha nan"),
        (("--changed", "0"), "--changed 0"),
        (("--margin", "0.1"), "--lens"),
        (("--margin", "nan", "--lens", "effect"), "--margin nan"),
        (("--margin", "-1", "--lens", "effect"), "--margin -1"),
        (("--margin", "1", "--lens", "wiring"), "--lens"),
        (("--pilot", "base"), "is one variant"),
        (("--pilot", "base:nope"), "'base:nope'"),
        (("nowhere",), "nowhere"),
    ],
)
def test_plan_refuses_what_cannot_be(study: Path, words: tuple[str, ...], told: str) -> None:
    answer = cli("plan", *words, "-w", study)
    assert answer.code == (1 if words == ("nowhere",) else 2)
    assert told in answer.complaint


def test_plan_names_a_broken_model(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(json.dumps({"model_type": "nope"}), "utf-8")
    (tmp_path / "m" / "x.safetensors").write_bytes(b"")
    assert str(tmp_path / "m") in cli("plan", tmp_path / "m").complaint
    too_long = cli("plan", IPD / "base", "--tokens", 10**6)
    assert "--tokens 1000000" in too_long.complaint
