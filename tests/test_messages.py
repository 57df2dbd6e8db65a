"""The library speaks of Python's arguments, the command line of its options."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from shell import ROOT, cli, done
from test_push_pull import write_table

from circuitgraph.commands.typed import in_flags

SOURCES = [
    path
    for path in sorted((ROOT / "circuitgraph").rglob("*.py"))
    if "commands" not in path.parts and path.name not in ("cli.py", "demo.py")
]
OTHER_PROGRAMS = ("ray start --head", "--nodes=", "--relationships=", "--report-file=")


def texts(tree: ast.Module) -> list[str]:
    """All strings but docstrings and strings that stand as comments."""
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [n.value for n in nodes if isinstance(n.value, str) and id(n) not in said]


def test_no_message_of_the_library_names_an_option_of_the_command_line() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): text
        for path in SOURCES
        for text in texts(ast.parse(path.read_text("utf-8")))
        if re.search(r"(?<!\w)--[a-z]", text)
        and path.name != "neo4j_admin.py"
        and not any(part in text for part in OTHER_PROGRAMS)
    }
    assert found == {}


@pytest.mark.parametrize(
    ("library", "command_line"),
    [
        ('use ``estimator="exact"``', "use --estimator exact"),
        ("leave ``tf32`` out", "leave --tf32 out"),
        ("``template_date=2026-13-01``: give a day", "--template-date 2026-13-01: give a day"),
        ("``rank='x'``: choose", "--rank 'x': choose"),
        ("a name such as `A b` stays", "a name such as `A b` stays"),
        # the words of others: a column, a warning of transformers, names in Cypher
        ("against `direction` on 2 prompts", "against `direction` on 2 prompts"),
        ("`torch_dtype` is deprecated! Use `dtype`", "`torch_dtype` is deprecated! Use `dtype`"),
        ("put it in backticks: `end`", "put it in backticks: `end`"),
    ],
)
def test_arguments_are_read_as_options(library: str, command_line: str) -> None:
    assert in_flags(library) == command_line


def test_names_in_backticks_reach_the_terminal_as_they_are(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 0)
    done("ingest-table", tmp_path / "t.csv", "--name", "t", "-w", tmp_path / "w", "-q")
    statement = "MATCH (order:Variant) RETURN order.name"
    assert "in backticks: `order`" in cli("cypher", statement, "-w", tmp_path / "w").complaint
