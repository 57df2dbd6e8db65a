"""What people write in Python: a string for a list, a misspelt keyword, a table of prompts, ~."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pandas as pd
import pytest
from shell import IPD

from circuitgraph import Workspace
from circuitgraph.base.errors import UsageError
from circuitgraph.base.keywords import listed, pairs
from circuitgraph.ingest.check import check_prompts
from circuitgraph.ingest.request import Request
from circuitgraph.interventions.circuits.faithfulness import faithfulness
from circuitgraph.interventions.patching.measure import Options
from circuitgraph.planning.plan import Question
from circuitgraph.workspace.kept_diff import KeptDiff
from circuitgraph.workspace.variants import VariantRuns

VARIANT = IPD / "variants" / "null-random-reward-seed1"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    lines = (IPD / "prompts.jsonl").read_text().splitlines()[::12]
    return pd.DataFrame([json.loads(line) for line in lines])


@pytest.fixture(scope="module")
def workspace(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("w"))
    for name, adapter in (("base", None), ("null", VARIANT), ("again", VARIANT)):
        options = {"adapter": adapter, "prompts": rows, "edges": "effect", "granularity": "layer"}
        made.ingest(IPD / "base", name=name, load=False, **options)
    return made


def test_a_table_and_dictionaries_are_prompts(workspace: Workspace, rows: pd.DataFrame) -> None:
    [run] = workspace.catalogue().of("base")
    again = workspace.ingest(
        IPD / "base", name="base", prompts=rows.to_dict("records"), edges=["effect"],
        granularity="layer",
    )  # fmt: skip
    assert [r.id for r in again] == [run.id]
    assert run.n == len(rows)
    assert check_prompts(rows).text.rows == workspace.plan(prompts=rows).table["prompts"].iloc[0]


def test_a_string_is_a_list_of_one(workspace: Workspace, tmp_path: Path) -> None:
    options = {"mechanism": False, "seed": 1}
    one, several = (workspace.diff("base", "null", null=null, **options).summary["decoys"]
                    for null in ("null:again", ["null:again"]))  # fmt: skip
    assert one == several
    assert len(one) == 1
    assert (
        workspace.diff("base", "null", null=("null", "again"), **options).summary["decoys"] == one
    )
    many = [workspace.compare("base", others).table for others in ("null", ["null"])]
    pd.testing.assert_frame_equal(*many)
    assert workspace.export("base", "gexf", tmp_path / "g.gexf") == [tmp_path / "g.gexf"]


@pytest.mark.parametrize(
    ("method", "arguments", "keyword", "meant"),
    [
        ("diff", ("base", "null"), "margn", "margin"),
        ("diff", ("base", "null"), "mecanism", "mechanism"),
        ("compare", ("base", ["null"]), "lense", "lens"),
        ("ingest", ("m",), "estimater", "estimator"),
        ("ingest", ("m",), "promts", "prompts"),
        ("report", ("base", "null", "r.html"), "alhpa", "alpha"),
        ("explain", ("EMBED", "LOGITS", "base", "null"), "scopes", "scope"),
        ("blocks", ("base", "null"), "secnd", "second"),
        ("patch", ("base", "null"), "layer", "layers"),
        ("faithfulness", ("base",), "size", "sizes"),
        ("hubs", ("base",), "knd", None),
        ("plan", (), "scenario", "scenarios"),
        ("edges", ("base",), "kinds", "kind"),
        ("remove", (), "nam", "name"),
    ],
)
def test_an_unknown_keyword_is_named_with_the_nearest_known_one(
    workspace: Workspace, method: str, arguments: tuple, keyword: str, meant: str | None
) -> None:
    hint = rf" \(did you mean {meant}\?\)" if meant else ".*"
    with pytest.raises(UsageError, match=f"{method} knows no '{keyword}'{hint}; it takes "):
        getattr(workspace, method)(*arguments, **{keyword: 1})
    with pytest.raises(UsageError, match=r"Workspace knows no 'strore' \(did you mean store\?\)"):
        Workspace("w", strore=None)


@pytest.mark.parametrize("cls", [Workspace, KeptDiff, VariantRuns])
def test_every_keyword_of_a_public_method_is_named_and_typed(cls: type) -> None:
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        if name.startswith("_"):
            continue
        for parameter in inspect.signature(method).parameters.values():
            free = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            assert not free or (name, parameter.name) == ("query", "parameters"), (name, parameter)
            assert parameter.name == "self" or parameter.annotation is not parameter.empty


def test_defaults_of_methods_are_those_of_what_they_ask() -> None:
    asked = {"ingest": Request, "plan": Question, "patch": Options, "faithfulness": faithfulness}
    for name, target in asked.items():
        own = inspect.signature(getattr(Workspace, name)).parameters
        theirs = inspect.signature(target).parameters
        shared = own.keys() & theirs.keys() - {"sizes", "reporter", "model", "prompts"}
        assert len(shared) > 2
        for key in shared:
            assert own[key].default == theirs[key].default, (name, key)


def test_one_value_is_a_list_of_one() -> None:
    assert (listed("ab"), listed(0.5), listed(("a", "b"))) == (["ab"], [0.5], ["a", "b"])
    assert (pairs("a:b"), pairs(("a", "b")), pairs(["a:b"])) == (["a:b"], [("a", "b")], ["a:b"])
    assert pairs(("a:b", "c:d")) == ["a:b", "c:d"]
    assert pairs([("a", "b")]) == [("a", "b")]


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workspace("~/study").path == tmp_path / "study"
    assert Workspace("~nobody-of-this-name/x").path == Path("~nobody-of-this-name/x")
