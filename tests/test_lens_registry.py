"""Lenses are types: each knows its options, any can be added, and no name of one is compared."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from circuitgraph import Workspace
from circuitgraph.base.errors import UsageError
from circuitgraph.lenses import registry
from circuitgraph.lenses.base import Lens, Options, require_choice
from circuitgraph.lenses.correlation.checkpoint import pair_names
from circuitgraph.lenses.correlation.lens import Correlation
from circuitgraph.lenses.edge_tests import EdgeTests, flag_numbers
from circuitgraph.lenses.effect.lens import Effect
from circuitgraph.lenses.match import Matched
from circuitgraph.lenses.registry import lens_named, lens_names, register
from circuitgraph.lenses.wiring.lens import Wiring
from circuitgraph.stats import triangle

PACKAGE = Path(__file__).resolve().parents[1] / "circuitgraph"


@dataclass(frozen=True)
class Gap(Lens):
    """Do two components still stand equally far apart, in activity? A lens of this test."""

    name: ClassVar[str] = "gap"
    run_kind: ClassVar[str] = "correlation"
    margin: ClassVar[float] = 0.5

    size: str = "signed"

    def __post_init__(self) -> None:
        require_choice("size", self.size, ("signed", "absolute"))

    @property
    def quantity(self) -> str:
        return "Distance of the activities"

    @property
    def unit(self) -> str:
        return "units of activity"

    def tests(self, matched: Matched, scope: str) -> EdgeTests:
        first, second = codes = triangle.pair_codes(len(matched.components))
        a, b = (np.mean(side, axis=0, dtype=float) for side in (matched.a, matched.b))
        gaps = [x[:, second] - x[:, first] for x in (a, b)]
        if self.size == "absolute":
            gaps = [np.abs(gap) for gap in gaps]
        change, df = gaps[1] - gaps[0], matched.n_effective
        error = change.std(axis=0, ddof=1) / np.sqrt(matched.n)
        own = [
            end
            for gap in gaps
            for end in (gap.mean(0) - 2 * gap.std(0, ddof=1), gap.mean(0) + 2 * gap.std(0, ddof=1))
        ]
        reason = np.zeros(len(first), np.int8)
        flag_numbers(reason, change.mean(0), error, df > 0)
        return EdgeTests(
            names=pair_names(matched, codes),
            weight_a=gaps[0].mean(0),
            weight_b=gaps[1].mean(0),
            delta=change.mean(0),
            se=error,
            df=df,
            reason=reason,
            default_margin=self.margin,
            own=lambda edges: (own[0][edges], own[1][edges], own[2][edges], own[3][edges]),
            per_prompt=lambda edges: change[:, edges],
        )


@pytest.fixture
def gap(monkeypatch: pytest.MonkeyPatch) -> type[Gap]:
    """The lens, registered for the time of one test."""
    monkeypatch.setattr(registry, "_LENSES", dict(registry._LENSES))
    return register(Gap)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two tables of three components; in B the last lies two units further off."""
    made = Workspace(tmp_path / "workspace")
    noise = np.random.default_rng(0).normal(size=(2, 60, 3))
    for name, values, further in zip("AB", noise, (0.0, 2.0), strict=True):
        columns = (values + np.array([0.0, 1.0, 2.0 + further])).T
        table = pd.DataFrame(dict(zip(("unit0", "unit1", "unit2"), columns, strict=True)))
        table.insert(0, "prompt_id", [f"p{i}" for i in range(60)])
        table.insert(1, "scenario", [f"s{i % 3}" for i in range(60)])
        file = tmp_path / f"{name}.csv"
        table.to_csv(file, index=False)
        made.ingest_table(file, name=name)
    return made


def test_a_lens_from_outside_answers_wherever_lenses_do(
    gap: type[Gap], workspace: Workspace, tmp_path: Path
) -> None:
    diff = workspace.diff("A", "B", lens="gap")
    claimed = diff.claims[["source", "target"]].astype(str).to_numpy().tolist()
    assert claimed == [["unit0", "unit2"], ["unit1", "unit2"]]
    assert set(diff.table["lens"]) == {"gap"}
    assert diff.summary["units"]["delta"] == "units of activity"
    assert (diff.extras["stability"] > 0.9).all()
    asked = {"lens": "gap"}
    told = workspace.explain("unit0", "unit2", "A", "B", **asked)
    assert "Distance of the activities: 2" in told.text
    assert told.per_prompt["change"].mean() == pytest.approx(diff.claims["delta"].iloc[0])
    workspace.report("A", "B", tmp_path / "page.html", **asked)
    assert "gap lens" in (tmp_path / "page.html").read_text("utf-8")
    stored = workspace.cypher("MATCH (d:Diff {lens: 'gap'}) RETURN d.n_claims AS claims")
    assert stored["claims"].tolist() == [2]
    rows = workspace.query("rewired", diff=diff.id)
    assert len(rows) == 2
    assert set(rows["lens"]) == {"gap"}


def test_options_of_a_lens_are_its_own(gap: type[Gap], workspace: Workspace) -> None:
    signed, absolute = (workspace.diff("A", "B", lens=Gap(size)) for size in ("signed", "absolute"))
    assert signed.id != absolute.id
    assert absolute.asks == Gap("absolute")
    with pytest.raises(UsageError, match="size: 'none' is unknown"):
        Gap("none")
    with pytest.raises(UsageError, match="there is a lens named 'gap'"):
        register(type("Other", (Gap,), {}))


def test_a_lens_by_name_is_the_lens_by_type() -> None:
    assert lens_names() == ("correlation", "effect", "wiring")
    assert lens_named("correlation", {"rank": True}) == Correlation(rank=True)
    assert lens_named("effect", {"scale": "logit", "rank": False}) == Effect("logit")
    assert lens_named("wiring", {"form": "functional"}) == Wiring("functional")
    assert lens_named(Wiring("functional"), {"scale": "share"}) == Wiring("functional")


@pytest.mark.parametrize(
    ("lens", "own", "message"),
    [
        ("logit", {}, "lens: 'logit' is unknown"),
        ("effect", {"rank": True}, "rank: applies to the correlation lens only"),
        ("correlation", {"scale": "logit"}, "scale: logit applies to the effect lens only"),
        ("effect", {"colour": 1}, "colour: no lens has this option"),
        (Effect("logit"), {"scale": "other"}, "scale: the lens is given with its options"),
        ("wiring", {"form": "functional", "shared_basis": True}, "shared_basis"),
    ],
)
def test_what_a_lens_does_not_have_is_refused(
    lens: str | Lens, own: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        lens_named(lens, own)


def compared_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Comparisons with a lens' name, but for those of the kind of a run."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        sides = [node.left, *node.comparators]
        constants = {
            c.value for side in sides for c in ast.walk(side) if isinstance(c, ast.Constant)
        }
        if constants & {"correlation", "effect", "wiring"} and not any(map(of_a_kind, sides)):
            yield node.lineno, ast.unparse(node)


def of_a_kind(node: ast.AST) -> bool:
    """Whether an expression is the kind of a run, or kinds of runs."""
    words = (node, *ast.iter_child_nodes(node)) if isinstance(node, ast.Subscript) else (node,)
    names = {getattr(word, name, "") for word in words for name in ("attr", "id", "value")}
    return not names.isdisjoint(("kind", "kinds", "run_kind"))


def test_no_file_outside_lenses_compares_with_the_name_of_a_lens() -> None:
    found = [
        f"{path.relative_to(PACKAGE)} line {line}: {told}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in ("lenses", "study")  # a study names its lenses
        for line, told in compared_names(ast.parse(path.read_text("utf-8")))
    ]
    assert found == []


def test_a_comparison_with_a_lens_is_seen() -> None:
    told = (
        "diff.lens == 'effect'; lens in ('wiring', None); run.kind == 'effect'; 'effect' in kinds"
    )
    assert [line for line, _ in compared_names(ast.parse(told.replace("; ", "\n")))] == [1, 2]


@pytest.mark.parametrize("wrong", [{"margin": "0.1"}, {"margin": -1.0}, {"alpha": "5%"}])
def test_a_number_that_is_none_is_refused_by_name(wrong: dict) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(UsageError, match=f"{name}: {value!r} is not"):
        Options(Effect(), **wrong)
