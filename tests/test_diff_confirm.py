"""Screen, then confirm: a claim must hold for the exact effects of both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from asking import compare_runs
from measured import effect_run
from models import make_adapter, make_model

from circuitgraph import Workspace
from circuitgraph.base.progress import Reporter
from circuitgraph.diff.record import CLAIMS
from circuitgraph.lenses.effect.exact import exact_effects_of
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.runs.record import Method, keep_confirmed, read_confirmed
from circuitgraph.runs.summaries import edge_table

SCREEN = Method("effect", estimator="receiver-exact", inputs="joint", ablation="corrupt")
SCENARIOS = np.repeat(["s", "t", "u"], 12)


def side(means, name, seed):
    """36 prompts around the given mean effects, estimated by a screen."""
    noise = 0.02 * np.random.default_rng(seed).normal(size=(36, len(means)))
    return effect_run(np.asarray(means) + noise, SCENARIOS, name, method=SCREEN)


#       same  both change  the screen alone changes  exact alone changes
SCREENED = ([1.0, 0.5, 0.1, 0.3], [1.0, 0.1, 0.4, 0.3])
EXACT = ([1.0, 0.6, 0.1, 0.3], [1.0, 0.1, 0.1, 0.6])


@pytest.fixture
def diff():
    a, b = (
        side(means, name, i) for i, (means, name) in enumerate(zip(SCREENED, "AB", strict=True))
    )
    asked = []

    def exactly(run, edges):
        asked.append((run.variant.name, tuple(edges)))
        which = "AB".index(run.variant.name)
        return side(EXACT[which], run.variant.name, 7 + which).effects[:, list(edges)]

    names = {"name_a": "A", "name_b": "B"}
    found = compare_runs([a], [b], **names, lens="effect", scale="logit", exactly=exactly)
    return found, asked


def test_what_the_exact_effects_do_not_confirm_is_no_claim(diff):
    found, asked = diff
    claimed = found.table["verdict"].isin(CLAIMS).tolist()
    assert claimed == [False, True, False, False]
    assert found.summary["confirmation"] == {
        "estimator": "receiver-exact",
        "edges": 4,
        "claims": 2,
        "confirmed": 1,
        "refused": [["L0H2", "L1H0", "all"]],
    }
    assert sorted(asked) == [("A", (0, 1, 2, 3)), ("B", (0, 1, 2, 3))]
    assert any("confirm 1 of its 2 claims" in remark for remark in found.summary["remarks"])


def test_claims_carry_exact_numbers_and_the_screen_s_beside_them(diff):
    found, _ = diff
    row, extra = found.table.iloc[1], found.extras.iloc[0]
    assert (row["weight_a"], row["weight_b"]) == pytest.approx((0.6, 0.1), abs=0.02)
    assert (extra["screen_a"], extra["screen_b"]) == pytest.approx((0.5, 0.1), abs=0.02)
    assert found.extras.index.tolist() == [1]


def test_null_pairs_are_confirmed_alike():
    a, b = (
        side(means, name, i) for i, (means, name) in enumerate(zip(SCREENED, "AB", strict=True))
    )
    null = side(SCREENED[1], "C", 3)

    def exactly(run, edges):
        return side(EXACT[0], run.variant.name, 7).effects[:, list(edges)]

    found = compare_runs(
        [a], [b], name_a="A", name_b="B", lens="effect", exactly=exactly,
        nulls=[("A", [a], "C", [null], None)],
    )  # fmt: skip
    assert found.summary["decoys"][0]["n_claims"] == 0
    assert found.summary["confirmation"]["confirmed"] == 0


def test_exact_runs_need_no_confirmation():
    a, b = (
        replace(side(SCREENED[i], "AB"[i], i), method=replace(SCREEN, estimator="exact"))
        for i in range(2)
    )

    def exactly(run, edges):
        raise AssertionError("nothing to measure")

    found = compare_runs([a], [b], name_a="A", name_b="B", lens="effect", exactly=exactly)
    assert "confirmation" not in found.summary
    assert found.confirmed == ()


ROWS = [(f"w{5 + i} w9 w{22 + i} w7", f"w{5 + i} w9 w{41 + i} w7") for i in range(14)]
PROMPTS = PromptSet(
    tuple(
        Prompt(prompt, "st"[i % 2], corrupt, "w8", "w19", line=i + 1)
        for i, (prompt, corrupt) in enumerate(ROWS)
    ),
    "prompts.jsonl",
)


@pytest.fixture(scope="module")
def screened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("screened")
    base = make_model("llama", folder / "base")
    lora = make_adapter(base, folder / "lora")
    workspace = Workspace(folder / "w")
    for name, adapter in (("base", None), ("tuned", lora)):
        for estimator in ("receiver-exact", "exact"):
            workspace.ingest(
                base, name=name, adapter=adapter, prompts=PROMPTS,
                edges=["effect"], estimator=estimator,
            )  # fmt: skip
    return workspace


KEY = ["source", "target", "input"]


def test_the_graph_holds_both_numbers_and_a_diff_the_exact_ones(screened):
    runs = {(r.variant.name, r.method.estimator): r for r in screened.catalogue().runs}
    chosen = ":".join(runs[name, "receiver-exact"].id for name in ("base", "tuned"))
    exact = ":".join(runs[name, "exact"].id for name in ("base", "tuned"))
    found, want = (
        screened.diff("base", "tuned", run=ids, scale="logit") for ids in (chosen, exact)
    )
    assert (found.table[KEY] == want.table[KEY]).all().all()
    here = found.table[KEY].apply(tuple, axis=1).isin(found.confirmed)
    for column in ("weight_a", "weight_b", "delta", "low"):
        apart = (found.table[column] - want.table[column]).abs()
        assert apart[here].max() < 1e-5
        assert apart[~here].max() > 1e-4
    assert 20 <= here.sum() < len(here)
    rows = screened.cypher(
        "MATCH (s)-[e:AFFECTS]->(t), (s)-[f:AFFECTS]->(t) WHERE e.run = $screen AND f.run = $exact"
        " AND e.input = f.input AND e.screen IS NOT NULL"
        " RETURN e.weight AS weight, f.weight AS exact, e.screen AS screen",
        {"screen": runs["tuned", "receiver-exact"].id, "exact": runs["tuned", "exact"].id},
    )
    assert len(rows) == found.summary["confirmation"]["edges"]
    assert np.allclose(rows["weight"], rows["exact"], atol=1e-5)
    assert (rows["weight"] - rows["screen"]).abs().max() > 1e-3


def test_explain_shows_the_numbers_the_claim_rests_on(screened):
    runs = {(r.variant.name, r.method.estimator): r for r in screened.catalogue().runs}
    chosen = ":".join(runs[name, "receiver-exact"].id for name in ("base", "tuned"))
    edge = screened.diff("base", "tuned", run=chosen).confirmed[0]
    told = screened.explain(edge.source, edge.target, "base", "tuned", run=chosen)
    exact = runs["tuned", "exact"]
    column = exact.edges.index(edge)
    assert np.allclose(told.per_prompt["raw_b"], exact.effects[:, column], atol=1e-5)


def test_an_interval_belongs_to_the_number_beside_it(screened):
    """Both queries once showed the screen's number with the interval of the exact one."""
    runs = {(r.variant.name, r.method.estimator): r for r in screened.catalogue().runs}
    first, second = (runs[name, "receiver-exact"] for name in ("base", "tuned"))
    edge = screened.diff("base", "tuned", run=f"{first.id}:{second.id}").confirmed[0]
    exact = edge_table(first).set_index(KEY).loc[tuple(edge), "weight"]
    for rows in (
        screened.query("edges-of-component", component=edge.source, kind="effect"),
        screened.query("edge-across-variants", source=edge.source, target=edge.target),
    ):
        known = rows[rows["weight"].notna()]
        assert ((known["low"] <= known["weight"]) & (known["weight"] <= known["high"])).all()
        chosen = rows[rows["screen"].notna() & (rows["variant"] == "base")]
        assert set(chosen["estimator"]) == {"exact"}
        assert np.isclose(chosen["weight"], exact, atol=1e-6).any()


def test_two_runs_side_by_side_show_no_q_of_another_number(screened):
    runs = {(r.variant.name, r.method.estimator): r for r in screened.catalogue().runs}
    first, second = (runs[name, "receiver-exact"] for name in ("base", "tuned"))
    edge = screened.diff("base", "tuned", run=f"{first.id}:{second.id}").confirmed[0]
    asked = {"first": first.id, "second": second.id, "component": edge.source}
    rows = screened.query("neighbourhood", **asked).set_index(KEY)
    assert rows.loc[tuple(edge), ["q_first", "q_second"]].isna().all()
    assert rows["q_first"].notna().any()


def test_what_rests_on_estimates_says_so(screened):
    runs = {(r.variant.name, r.method.estimator): r for r in screened.catalogue().runs}
    chosen = ":".join(runs[name, "receiver-exact"].id for name in ("base", "tuned"))
    diff = screened.diff("base", "tuned", run=chosen)
    left = diff.table[~diff.table[KEY].apply(tuple, axis=1).isin(diff.confirmed)].iloc[0]
    told = [str(diff.explain(*ends)) for ends in (diff.confirmed[0][:2], left[KEY][:2])]
    assert ["estimates (receiver-exact)" in text for text in told] == [False, True]


def test_what_was_measured_exactly_is_not_measured_again(screened, monkeypatch):
    from circuitgraph.lenses.effect import exact as exactly

    runs = {(r.variant.name, r.method.estimator): r for r in screened.catalogue().runs}
    chosen = ":".join(runs[name, "receiver-exact"].id for name in ("base", "tuned"))
    first = screened.diff("base", "tuned", run=chosen)
    monkeypatch.setattr(exactly, "_measure", None)
    again = screened.diff("base", "tuned", run=chosen)
    assert again.table.equals(first.table)


def test_queries_over_several_runs_compare_one_estimator(screened):
    """Edges measured exactly in one run may be screened in another: the screen's numbers count."""
    runs = {(r.variant.name, r.method.estimator): r for r in screened.catalogue().runs}
    first, second = (runs[name, "receiver-exact"] for name in ("base", "tuned"))
    screened.diff("base", "tuned", run=f"{first.id}:{second.id}")
    rows = screened.query("differences-of-runs", first=first.id, second=second.id, limit=500)
    own = [edge_table(run, confirmed=False).set_index(KEY)["weight"] for run in (first, second)]
    want = (own[1] - own[0]).reindex(pd.MultiIndex.from_frame(rows[KEY]))
    assert len(rows) == len(own[0])
    assert np.allclose(rows["difference"], want, atol=1e-6)
    assert not np.allclose(edge_table(second)["weight"], own[1].to_numpy(), atol=1e-4)


def test_the_graph_learns_what_any_comparison_measured(screened):
    many = screened.compare("base", ["tuned"], lens="effect")
    assert len(many.diffs) == 1
    for run in screened.catalogue().runs:
        known = len(read_confirmed(run))
        screens = "MATCH ()-[e:AFFECTS]->() WHERE e.run = $run RETURN count(e.screen) AS n"
        assert screened.cypher(screens, {"run": run.id})["n"].iloc[0] == known
        assert (known > 0) == (run.method.estimator == "receiver-exact")


def test_two_diffs_at_once_keep_what_both_measured(screened, tmp_path):
    """What another process kept meanwhile is not lost."""
    [run] = [
        r
        for r in screened.catalogue().runs
        if (r.variant.name, r.method.estimator) == ("tuned", "receiver-exact")
    ]
    before = read_confirmed(run)
    missing = [i for i in range(len(run.edges)) if i not in before][:2]
    exact_effects_of(run, missing[:1], Reporter())
    keep_confirmed(run, {missing[1]: np.zeros(run.n, np.float32)})
    assert set(read_confirmed(run)) == {*before, *missing}
