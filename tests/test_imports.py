"""What a command imports: help and listings take no tables, tables take no models."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Container
from pathlib import Path

import pytest
from shell import IPD, cli, done
from test_push_pull import write_table

HEAVY = {"torch", "transformers", "transformer_lens", "peft", "ray"}
TABLES = {"pandas", "pyarrow", "igraph", "networkx"}
STORES = {"ladybug", "neo4j"}
STATISTICS = {"scipy.stats"}
SCRIPT = """
import sys
from circuitgraph.cli import run
code = run(sys.argv[1:])
print(*(name for name in sys.modules), sep="\\n", file=sys.stderr)
sys.exit(code)
"""


def imported(*words: object, codes: Container[int] = (0, 3)) -> set[str]:
    """The modules that a command leaves imported."""
    command = [sys.executable, "-c", SCRIPT, *map(str, words)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode in codes, answer.stderr[-2000:]
    return set(answer.stderr.split("\n"))


@pytest.mark.parametrize("words", [("--help",), ("diff", "--help"), ("--version",)], ids=" ".join)
def test_help_imports_none_of_what_a_comparison_needs(words: tuple[str, ...]) -> None:
    assert imported(*words) & (HEAVY | STORES | STATISTICS) == set()


def test_no_command_s_help_imports_models_or_stores() -> None:
    code = (
        "import sys; from circuitgraph.cli import PLACES, run; "
        "[run([name, '--help']) for name in PLACES]; "
        f"sys.exit(str({HEAVY | STORES | STATISTICS} & {{*sys.modules}} or 'none'))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.stderr == "none\n"


def test_the_overview_and_listings_import_no_tables(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 0)
    workspace = tmp_path / "w"
    done("ingest-table", tmp_path / "t.csv", "--name", "t", "-w", workspace, "-q")
    for words in (("--help",), ("variants", "-w", workspace), ("runs", "-w", workspace)):
        assert imported(*words) & (HEAVY | STORES | STATISTICS | TABLES) == set(), words


def test_a_kept_diff_is_shown_without_what_measured_it(tmp_path: Path) -> None:
    for number in range(2):
        write_table(tmp_path / f"{number}.csv", number)
        words = ("ingest-table", tmp_path / f"{number}.csv", "--name", f"t{number}")
        done(*words, "-w", tmp_path / "w", "-q")
    words = ("diff", "t0", "t1", "-w", tmp_path / "w")
    assert cli(*words).code == 3  # evidence is thin
    again = imported(*words)
    assert again & (HEAVY | STORES | STATISTICS | {"scipy.special", "igraph", "networkx"}) == set()


def test_what_is_kept_is_asked_exported_and_reported_without_models(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    for number in range(2):
        write_table(tmp_path / f"{number}.csv", number)
        words = ("ingest-table", tmp_path / f"{number}.csv", "--name", f"t{number}")
        done(*words, "-w", workspace, "-q")
    assert cli("diff", "t0", "t1", "-w", workspace).code == 3  # evidence is thin
    for words in (
        ("query", "variants"),
        ("explain", "c1", "c2", "t0", "t1"),
        ("export", "t0", "-o", tmp_path / "t.gexf"),
        ("report", "t0", "t1", "-o", tmp_path / "r.html"),
    ):
        assert imported(*words, "-w", workspace) & (HEAVY | {"neo4j"}) == set(), words


@pytest.mark.parametrize(
    "wrong",
    [("--adapter", "."), ("--edges", "effect")],
    ids=["no adapter", "effects without corrupt"],
)
def test_a_wrong_ingest_is_refused_before_models_are_imported(
    tmp_path: Path, wrong: tuple[str, ...]
) -> None:
    prompts = tmp_path / "p.jsonl"
    prompts.write_text('{"prompt": "a", "scenario": "s"}\n', "utf-8")
    words = ("ingest", IPD / "base", "--name", "x", "--prompts", prompts, "-w", tmp_path / "w")
    found = imported(*words, *wrong, codes=(1, 2))
    assert any(line.startswith("error: ") for line in found)
    assert found & (HEAVY | STORES) == set()


def test_the_package_imports_nothing_before_it_is_used() -> None:
    code = "import sys, circuitgraph; assert not {'numpy', 'pandas', 'click'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
