"""One question is one diff: null pairs, mechanisms, blocks and explanations lie beside it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from shell import ROOT, done, rows

from circuitgraph import Workspace


def readme_cypher() -> str:
    """The statement of README's line ``circuitgraph cypher …``."""
    text = (ROOT / "README.md").read_text("utf-8")
    [line] = re.findall(r"^circuitgraph cypher .+$", text, re.MULTILINE)
    return shlex.split(line, comments=True)[2].replace('"tuned-0"', '"deontological"')


@pytest.mark.thorough
def test_readmes_cypher_returns_every_claim_once(copied: Path) -> None:
    pair = ("base", "deontological", "-w", copied, "-q")
    claimed = done("diff", *pair, "--null", "base:null-self-sft", "--json").rows
    claimed = [row for row in claimed if row["mechanism"]]
    done("diff", *pair, "--lens", "wiring")
    done("explain", "EMBED", "L0H2", *pair)
    done("blocks", *pair)
    done("diff", *pair, "--no-mechanism")
    found = rows("cypher", readme_cypher(), "-w", copied)
    ends = sorted((row["s.name"], row["t.name"], row["r.delta"]) for row in found)
    assert ends == sorted((row["source"], row["target"], row["delta"]) for row in claimed)
    asked = "MATCH (d:Diff {a: 'base', b: 'deontological'}) RETURN d.lens AS lens ORDER BY lens"
    assert [row["lens"] for row in rows("cypher", asked, "-w", copied)] == ["effect", "wiring"]


def test_what_was_measured_beside_a_diff_stays_with_it(copied: Path, tmp_path: Path) -> None:
    workspace = Workspace(copied)
    first = workspace.diff("base", "deontological", null=["base:null-self-sft"])
    again = workspace.diff("base", "deontological", mechanism=False)
    assert again.id == first.id
    assert again.table.equals(first.table)
    assert again.extras.equals(first.extras)
    assert again.summary == first.summary
    record = json.loads((copied / "diffs" / f"{first.id}.json").read_text("ascii"))
    assert record["summary"]["decoys"] == first.summary["decoys"]
    by_label = {row["mechanism"]: row["claims"] for row in mechanisms(workspace)}
    assert by_label == first.summary["mechanism"]["claims"]
    answer = done("report", "base", "deontological", "-o", tmp_path / "r.html", "-w", copied)
    told = "null pair base : null-self-sft: the same test claims"
    assert told in answer.err
    assert told in (tmp_path / "r.html").read_text("utf-8")


def mechanisms(workspace: Workspace) -> list[dict]:
    statement = (
        "MATCH ()-[r:REWIRED {a: 'base', b: 'deontological', lens: 'effect'}]->() "
        "RETURN r.mechanism AS mechanism, count(*) AS claims"
    )
    return workspace.cypher(statement).to_dict("records")


def test_null_pairs_of_removed_variants_are_forgotten(copied: Path) -> None:
    workspace = Workspace(copied)
    workspace.diff("base", "deontological", null=["base:null-self-sft"], mechanism=False)
    workspace.remove("null-self-sft")
    again = workspace.diff("base", "deontological", mechanism=False)
    assert again.summary["decoys"] == []


def test_a_null_pair_given_by_mistake_can_be_taken_back(copied: Path) -> None:
    workspace = Workspace(copied)

    def found(**options) -> tuple[list, bool]:
        diff = workspace.diff("base", "deontological", mechanism=False, **options)
        warned = any("warning: null pair" in line for line in diff.summary["remarks"])
        return [decoy["b"] for decoy in diff.summary["decoys"]], warned

    assert found(null="base:deontological") == (["deontological"], True)
    assert found() == (["deontological"], False)
    assert found(null=["none", "base:null-self-sft"]) == (["null-self-sft"], False)
    answer = done("diff", "base", "deontological", "--null", "none", "-w", copied, "-q")
    assert "null pair" not in answer.out + answer.err
    assert found() == ([], False)
