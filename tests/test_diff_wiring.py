"""The wiring lens on channels whose changes are known: what is claimed, as what, and when not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from asking import compare_runs
from measured import effect_run
from wiring_channels import EDGES, SCENARIOS, between, drifted, place, vectors

from circuitgraph.base.errors import UsageError
from circuitgraph.diff import COLUMNS, Diff, explain_edge
from circuitgraph.report.page import write_report
from circuitgraph.report.words import summary_lines
from circuitgraph.store import diff_tables

PLANTED = {
    ("L0H1", "L1H0"): "rewired",
    ("L0_MLP", "L2_MLP"): "lost",
    ("L1H2", "L2H1"): "gained",
    ("L1_MLP", "LOGITS"): "sign_flip",
}


def run(name: str, n: int = len(SCENARIOS), recipe: str = ""):
    return effect_run(np.full((n, 1), len(name)), SCENARIOS[:n], name, recipe=recipe)


def planted(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Drift, and four edges of which each changes in its own way."""
    a = vectors(seed)
    b = drifted(a, seed + 1)
    other = vectors(seed + 2)
    changed, lost, gained, flipped = (place(*edge) for edge in PLANTED)
    b[:, changed] = 0.5 * a[:, changed] + 0.5 * other[:, changed]
    b[:, lost] = 0.02 * other[:, lost]
    a[:, gained] = 0.02 * other[:, gained]
    b[:, flipped] = -a[:, flipped]
    return a, b


def compare(channels, n: int = len(SCENARIOS), **options) -> Diff:
    return compare_runs(
        [run("A", n)],
        [run("B", n)],
        name_a="A",
        name_b="B",
        lens="wiring",
        channels=lambda *_, **__: channels,
        **options,
    )


def row(diff: Diff, source: str, target: str) -> dict:
    return diff.table.iloc[place(source, target)].to_dict()


def test_what_was_planted_is_claimed_and_nothing_else():
    diff = compare(between(*planted(0)))
    assert tuple(diff.table) == COLUMNS
    claims = diff.claims
    ends = zip(claims["source"], claims["target"], strict=True)
    assert dict(zip(ends, claims["verdict"], strict=True)) == PLANTED
    assert (diff.table["lens"] == "wiring").all()
    assert (diff.table["mechanism"] == "").all()
    assert diff.summary["gain"] is None
    flipped = row(diff, "L1_MLP", "LOGITS")
    assert np.isclose(flipped["delta"], 1)  # ‖−a − a‖ / (‖a‖ + ‖a‖)
    assert flipped["high"] == 1  # never beyond what can be
    assert np.isclose(flipped["weight_a"], flipped["weight_b"])


@pytest.mark.parametrize(
    ("pairs", "allowed"), [(10, 1), pytest.param(*(20, 2), marks=pytest.mark.slow)]
)
def test_drift_alone_is_not_claimed(pairs, allowed):
    claims = []
    for seed in range(pairs):
        a = vectors(seed)
        claims.append(compare(between(a, drifted(a, seed + 100))).summary["n_claims"])
    assert np.count_nonzero(claims) <= allowed


def test_a_model_against_itself_changes_nothing():
    a = vectors(0)
    for options in ({}, {"margin": 0.0}):
        diff = compare(between(a, a), **options)
        assert set(diff.table["verdict"]) == {"not_detected"}
        assert (diff.table[["delta", "low", "high"]] == 0).all().all()
        assert (diff.table["p"] == 1).all()
        assert diff.summary["yardstick"]["observed"] == {"margin": 0}
    assert diff.summary["identical"] == "all channels are identical"


def test_the_order_of_prompts_changes_no_verdict():
    a, b = planted(3)
    order = np.random.default_rng(0).permutation(len(SCENARIOS))
    first = compare(between(a, b))
    shuffled = [effect_run(np.zeros((40, 1)), SCENARIOS[order], name) for name in "AB"]
    channels = between(a[order], b[order])
    second = compare_runs(
        *([side] for side in shuffled),
        name_a="A",
        name_b="B",
        lens="wiring",
        channels=lambda *_, **__: channels,
    )
    assert (first.table["verdict"] == second.table["verdict"]).all()
    for column in ("weight_a", "weight_b", "delta", "low", "high", "p", "q"):
        assert np.allclose(first.table[column], second.table[column]), column


def test_a_receiver_that_changed_as_a_whole_is_not_an_edge_that_did():
    a = vectors(5)
    b = drifted(a, 6)
    own = [i for i, edge in enumerate(EDGES) if edge.target == "L2H0"]
    b[:, own] += vectors(7)[:, own]  # each of its channels by as much as it is long
    diff = compare(between(a, b))
    assert not (diff.claims["target"] == "L2H0").any()
    assert diff.table.loc[own, "delta"].min() > 0.3


def test_a_change_under_the_margin_is_none_however_it_stands_out():
    a = vectors(8)
    b = drifted(a, 9, size=1e-4)
    edge = place("L0H1", "L1H0")
    b[:, edge] = a[:, edge] * 1.006  # 0.3%, forty times what the others change
    channels = between(a, b)
    assert row(compare(channels, margin=0.001), "L0H1", "L1H0")["verdict"] == "rewired"
    assert row(compare(channels), "L0H1", "L1H0")["verdict"] == "unchanged"


def test_what_rounding_explains_is_no_change():
    a, b = planted(10)
    diff = compare(between(a, b, floor=np.ones(len(EDGES))))
    assert diff.summary["n_claims"] == 0
    assert (diff.table["p"] == 1).all()


def test_channels_without_a_signal_are_not_tested():
    a, b = planted(11)
    edge = place("EMBED", "LOGITS")
    a[:, edge] = b[:, edge] = 0
    told = row(compare(between(a, b)), "EMBED", "LOGITS")
    assert (told["verdict"], told["reason"]) == ("not_testable", "no signal")
    assert np.isnan(told["p"])
    assert np.isnan(told["q"])


def test_thin_evidence_is_no_verdict():
    a, b = planted(12)
    diff = compare(between(a[:8], b[:8]), n=8)  # 8 prompts of 5 scenarios
    assert diff.insufficient
    assert set(diff.table["reason"]) == {"insufficient evidence"}
    assert diff.table["delta"].notna().all()
    assert len(diff.claims) == 0


def test_what_claims_carry_beside_the_table():
    a, b = planted(0)
    channels = between(a, b)
    diff = compare(channels)
    flip = place("L1_MLP", "LOGITS")
    extras = diff.extras.loc[flip]
    assert np.isclose(extras["cosine"], -1)
    assert np.isclose(extras["read"], 1)
    assert extras["write"] == 0
    assert extras["times_median"] >= 2
    assert extras["low_a"] < diff.table["weight_a"][flip] < extras["high_a"]
    by_scenario = [extras[f"mean: {code}"] for code in range(5)]
    assert np.allclose(by_scenario, 1)
    rel = diff_tables(diff).rels["REWIRED"]
    assert len(rel) == len(PLANTED)
    assert np.allclose(sorted(rel["read"]), sorted(diff.extras["read"]))
    assert rel["write"].tolist() == [0.0] * len(PLANTED)


def test_one_edge_explained_prompt_by_prompt():
    channels = between(*planted(0))
    told = explain_edge(compare(channels), "L0H1", "L1H0")
    edge = place("L0H1", "L1H0")
    assert list(told.per_prompt.columns[3:]) == ["weight_a", "weight_b", "read", "write", "delta"]
    assert np.allclose(told.per_prompt["delta"], channels.delta[:, edge])
    assert told.per_scenario["n"].tolist() == [8] * 5
    for words in ("relative change", "times the median change of what L1H0 reads", "Of 5 scen"):
        assert words in told.text


def test_the_page_and_the_lines_say_what_the_yardstick_is(tmp_path):
    diff = compare(between(*planted(0)))
    write_report(diff, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "wiring lens" in page
    assert "0 by construction" in page
    assert "random updates" in "\n".join(summary_lines(diff))
    assert diff.summary["yardstick"]["expected"] <= 0.5
    assert diff.graph("igraph").is_directed()


def test_null_pairs_go_through_the_same_test():
    a, b = planted(0)
    quiet = drifted(a, 50)
    models = {"A": a, "B": b, "null": quiet}

    def channels(first, second, **_):
        return between(models[first.variant.name], models[second.variant.name])

    nulls = [("A", [run("A")], "null", [run("null")], None)]
    names = {"name_a": "A", "name_b": "B", "lens": "wiring"}
    diff = compare_runs([run("A")], [run("B")], **names, nulls=nulls, channels=channels)
    [decoy] = diff.summary["decoys"]
    assert diff.summary["n_claims"] == len(PLANTED)
    assert decoy["n_claims"] == 0
    assert decoy["n_testable"] == len(EDGES)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"lens": "effect", "form": "functional"}, "form"),
        ({"lens": "correlation", "shared_basis": True}, "shared_basis"),
        ({"lens": "wiring", "form": "functional", "shared_basis": True}, "shared_basis"),
        ({"lens": "wiring", "form": "both"}, "form"),
        ({"lens": "wiring", "scale": "logit"}, "scale"),
        ({"lens": "wiring", "rank": True}, "rank"),
        ({"lens": "wiring"}, "models"),
    ],
)
def test_what_does_not_apply_is_refused(options, word):
    with pytest.raises(UsageError, match=word):
        compare_runs([run("A")], [run("B")], name_a="A", name_b="B", **options)


def test_another_form_is_another_diff():
    channels = between(*planted(0))
    ids = {
        compare(channels).id,
        compare(channels, form="functional").id,
        compare(channels, shared_basis=True).id,
        compare(channels, seed=1).id,
    }
    assert len(ids) == 4
    assert compare(channels).id == compare(channels).id


def group(name: str, base: np.ndarray, seed: int, edges=(), k: int = 4) -> dict[str, np.ndarray]:
    """Replicates: each its own drift, and half of the chosen channels in the same new place."""
    models = {}
    for i in range(k):
        tuned = drifted(base, 1000 * seed + i)
        for edge in edges:
            there = vectors(seed + 7)[:, edge]
            tuned[:, edge] += 0.4 * there + 0.02 * vectors(seed + i)[:, edge]
        models[f"{name}{i}"] = tuned
    return models


def recipes(base, a: dict, b: dict, equal=(), **options) -> Diff:
    """Two groups compared; the variants named in ``equal`` share one fingerprint of weights."""
    models = {"base": base, **a, **b}

    def channels(first, second, **_):
        return between(models[first.variant.name], models[second.variant.name])

    def one(name):
        found = run(name, recipe="x")
        weights = replace(found.variant, fingerprint="w")
        return replace(found, variant=weights) if name in equal else found

    sides = [[one(name) for name in side] for side in (a, b)]
    names = {"name_a": "a", "name_b": "b", "lens": "wiring", "scope": "recipe"}
    return compare_runs(
        *sides, **names, channels=channels, base_of=lambda *_: run("base"), **options
    )


def test_a_recipe_is_claimed_where_all_its_replicates_agree():
    base = vectors(0)
    edges = [place("L0H1", "L1H0"), place("EMBED", "L2_MLP")]
    diff = recipes(base, group("a", base, 1), group("b", base, 2, edges))
    assert sorted(diff.claims.index) == sorted(edges)
    assert set(diff.claims["verdict"]) == {"rewired"}
    assert (diff.claims["weight_b"] > diff.claims["weight_a"]).all()
    assert np.allclose(diff.table["delta"], diff.table["weight_b"] - diff.table["weight_a"])
    other_way = recipes(base, group("b", base, 2, edges), group("a", base, 1))
    assert sorted(other_way.claims.index) == sorted(edges)
    assert np.allclose(other_way.table["delta"], -diff.table["delta"])


def test_one_replicate_alone_makes_no_recipe():
    base = vectors(0)
    b = group("b", base, 2)
    b["b0"][:, place("L0H1", "L1H0")] += vectors(9)[:, place("L0H1", "L1H0")]
    assert recipes(base, group("a", base, 1), b).summary["n_claims"] == 0


def test_a_recipe_against_the_base_itself():
    base = vectors(0)
    edges = [place("L0H1", "L1H0")]
    diff = recipes(base, {"base": base}, group("b", base, 2, edges))
    assert sorted(diff.claims.index) == edges
    assert (diff.table["weight_a"] == 0).all()
    assert explain_edge(diff, "L0H1", "L1H0").text.count("times") >= 1


@pytest.mark.parametrize(
    ("pairs", "allowed"), [(10, 1), pytest.param(*(20, 1), marks=pytest.mark.slow)]
)
def test_null_recipes_are_not_claimed(pairs, allowed):
    claims = []
    for seed in range(pairs):
        base = vectors(seed)
        a, b = group("a", base, 2 * seed + 50), group("b", base, 2 * seed + 51)
        claims.append(recipes(base, a, b).summary["n_claims"])
    assert np.count_nonzero(claims) <= allowed


def test_two_replicates_cannot_tell():
    base = vectors(0)
    diff = recipes(base, group("a", base, 1, k=2), group("b", base, 2, k=4))
    assert diff.insufficient
    assert len(diff.claims) == 0
    assert diff.table["weight_b"].notna().all()


def test_replicates_with_equal_weights_count_once():
    base = vectors(0)
    edges = [place("L0H1", "L1H0")]
    a, b = group("a", base, 1), group("b", base, 2, edges)
    alone = {name: b[name] for name in ("b0", "b1", "b2")}
    plain = recipes(base, a, alone)
    doubled = recipes(base, a, {**alone, "b3": b["b2"]}, equal=("b2", "b3"))
    assert doubled.table.equals(plain.table)
    assert doubled.id == plain.id
    told = "b2 and b3 have the same merged weights: one replicate, counted once"
    assert told in doubled.summary["remarks"]
    too_few = recipes(base, a, {"b0": b["b0"], "b1": b["b0"], "b2": b["b2"]}, equal=("b0", "b1"))
    assert too_few.insufficient


def test_runs_of_either_kind_stand_for_their_models():
    channels = between(*planted(0))
    a, b = (
        replace(run(name), method=replace(run(name).method, kind="effect", estimator="eap"))
        for name in "AB"
    )
    names = {"name_a": "A", "name_b": "B", "lens": "wiring"}
    diff = compare_runs([a], [b], **names, channels=lambda *_, **__: channels)
    assert diff.summary["n_claims"] == len(PLANTED)
    assert "confirmation" not in diff.summary
