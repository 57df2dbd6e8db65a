"""New families from the command line: what is measured, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from models import make_adapter, make_model
from shell import cli, done, rows

from circuitgraph.runs.record import list_runs

WORDS = [f"w{i} w{i + 1} w{i % 7 + 40} w33" for i in range(4, 16)]


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base and its adapter of three families, ingested."""
    root = tmp_path_factory.mktemp("families")
    lines = [
        {"prompt": f"{text} w{9 + i}", "corrupt": f"{text} w{20 + i}", "answer": "w8",
         "wrong_answer": "w19", "scenario": "ab"[i % 2]}
        for i, text in enumerate(WORDS)
    ]  # fmt: skip
    (root / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    for family in ("gpt_neox", "mixtral", "olmo2"):
        base = make_model(family, root / family / "base")
        lora = make_adapter(base, root / family / "lora", scale=0.05)
        here = ("--prompts", root / "prompts.jsonl", "-w", root / family / "w", "-q")
        done("ingest", base, "--name", "base", *here)
        done("ingest", base, "--adapter", lora, "--name", "tuned", *here)
    return {family: root / family / "w" for family in ("gpt_neox", "mixtral", "olmo2")}


def test_all_are_read_by_the_engine(workspaces: dict[str, Path]) -> None:
    for workspace in workspaces.values():
        for run in list_runs(workspace / "runs"):
            assert run.self_check["forward"] == "engine"
            assert run.self_check["logits"] <= 1e-5
        assert cli("diff", "base", "tuned", "-w", workspace, "--json").code in (0, 3)


def test_parallel_blocks_lack_the_same_edges_in_every_table(workspaces: dict[str, Path]) -> None:
    here = ("-w", workspaces["gpt_neox"])
    tables = [
        rows("edges", "base", "--kind", "effect", *here),
        rows("compose", "base", *here),
        cli("diff", "base", "tuned", "--lens", "wiring", "--json", *here).rows,
        rows("patch", "base", "tuned", "--edges", *here),
    ]
    for table in tables:
        ends = {(row["source"], row["target"]) for row in table}
        assert ("EMBED", "L2_MLP") in ends
        assert ("L1H0", "L2_MLP") in ends
        assert not [e for e in ends if e[1] == "L2_MLP" and e[0].startswith("L2H")]
    assert done("faithfulness", "base", "--random", "1", *here).code == 0


def test_what_needs_one_matrix_an_mlp_is_refused_for_mixtures(workspaces: dict[str, Path]) -> None:
    here = ("-w", workspaces["mixtral"])
    for words in (("compose", "base"), ("diff", "base", "tuned", "--lens", "wiring")):
        answer = cli(*words, *here)
        assert answer.code == 2
        assert "'mixtral' is a mixture of experts" in answer.complaint
    assert done("faithfulness", "base", "--random", "1", *here).code == 0
    assert rows("patch", "base", "tuned", *here)


def test_circuits_of_heads_that_share_a_norm_are_refused(workspaces: dict[str, Path]) -> None:
    answer = cli("faithfulness", "base", "-w", workspaces["olmo2"])
    assert answer.code == 2
    assert "norm the queries and keys of all heads at once" in answer.complaint
    assert "--granularity layer" in answer.complaint
    assert rows("compose", "base", "-w", workspaces["olmo2"])
