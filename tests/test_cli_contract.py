"""What scripts rely on: commands, options anywhere, columns, streams and exit codes."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pandas as pd
import pytest
from shell import IPD, ROOT, cli, done, rows

from circuitgraph.cli import cli as root

DIFF = (
    *("source", "target", "input", "lens", "scope", "weight_a", "weight_b", "delta", "low"),
    *("high", "p", "q", "verdict", "mechanism", "reason", "n", "n_scenarios", "n_effective"),
)
EDGES = (
    *("source", "target", "kind", "input", "estimator", "weight", "pooled", "low", "high"),
    *("p", "q", "n"),
)
ASKED_FOR = (
    *("demo", "ingest", "ingest-table", "prompts check", "diff", "explain", "edges", "hubs"),
    *("variants", "runs", "remove", "query", "cypher", "export", "report"),
)
GLOBAL = ("--workspace", "--store", "--json", "--quiet", "--debug")


def commands(group: click.Group = root, above: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield above + name, command
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")


COMMANDS = dict(commands())


def example_lines(text: str) -> list[list[str]]:
    """Every ``circuitgraph …`` line of a text as words, without comments."""
    joined = text.replace("\\\n", " ")
    lines = re.findall(r"^ *(?:[A-Z_]\w*=\S+ +)*(circuitgraph .+)$", joined, re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def parse(words: list[str]) -> None:
    """Parse a command line without running it; unknown names and options raise."""
    command: click.Command = root
    context = click.Context(root)
    while words[0] in ("--store", "--workspace", "-w"):
        del words[:2]
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context("example", words, parent=context)


@pytest.mark.parametrize("name", ASKED_FOR)
def test_every_command_of_the_contract_is_there(name: str) -> None:
    assert name in COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    text = done(*name.split(), "--help").out
    assert re.search(rf"\n  Example:\n(    .*\n)*?.*circuitgraph .*{name}\b", text)
    assert all(option in text for option in GLOBAL)
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option):
            assert option.help, f"{name} {option.name}"


def test_every_command_stands_in_the_overview_with_a_whole_sentence() -> None:
    text = done("--help").out
    assert done().out == text
    listed = text[text.index("Start:") :]
    for name in COMMANDS:
        if " " not in name:
            assert re.search(rf"^  {name} .*\.$", listed, re.MULTILINE), name
    assert "..." not in listed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_parses(name: str) -> None:
    lines = example_lines(COMMANDS[name].help or "")
    assert lines or name == "completion"
    for words in lines:
        parse(words)


def test_the_readme_mentions_every_command_and_its_lines_parse() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for name, command in COMMANDS.items():
        if not isinstance(command, click.Group):
            assert f"`{name}`" in text or f"circuitgraph {name} " in text, name
    for words in example_lines(text):
        parse(words)


def test_options_stand_before_or_after_the_command(study: Path) -> None:
    before = done("--workspace", study, "--json", "-q", "variants")
    after = done("variants", "--workspace", study, "--json", "-q")
    assert before == after
    assert before.err == ""
    assert len(before.rows) == 14
    assert (
        done("--json", "prompts", "-q", "check", IPD / "prompts.jsonl").rows["text"]["rows"] == 120
    )


def test_the_environment_names_the_workspace_and_the_command_line_wins(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIRCUITGRAPH_WORKSPACE", str(study))
    assert len(rows("runs")) == 28
    assert rows("-w", tmp_path, "runs") == []
    assert rows("runs", "-w", tmp_path) == []


def test_no_other_setting_comes_from_the_environment(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIRCUITGRAPH_STORE", "neo4j://localhost:1")
    monkeypatch.setenv("CIRCUITGRAPH_JSON", "1")
    monkeypatch.setenv("CIRCUITGRAPH_EDGES_KIND", "effect")
    assert done("query", "variants", "-w", study).out.startswith("variant")
    assert {row["kind"] for row in rows("edges", "base", "-w", study)} == {"correlation", "effect"}


def test_an_unknown_store_is_refused(study: Path) -> None:
    for words in (("--store", "nope", "query", "hubs"), ("query", "hubs", "--store", "nope")):
        answer = cli("-w", study, *words)
        assert answer.code == 2
        assert "nope" in answer.complaint


@pytest.mark.parametrize("lens", ["effect", "correlation"])
def test_columns_of_a_diff(study: Path, tmp_path: Path, lens: str) -> None:
    words = ("diff", "base", "deontological", "--lens", lens, "-w", study, "-q")
    as_csv = done(*words, "--format", "csv").out
    assert tuple(next(csv.reader(io.StringIO(as_csv)))) == DIFF
    as_json = done(*words, "--format", "json").rows
    assert tuple(as_json[0]) == DIFF
    assert done(*words, "--json").rows == as_json
    assert done(*words, "-o", tmp_path / "d.parquet").out == ""
    frame = pd.read_parquet(tmp_path / "d.parquet")
    assert tuple(frame.columns) == DIFF
    assert len(frame) == len(as_json) == len(as_csv.splitlines()) - 1
    assert {row["lens"] for row in as_json} == {lens}
    assert [row["delta"] for row in as_json] == pytest.approx(frame["delta"].tolist(), nan_ok=True)
    assert all(row["verdict"] for row in as_json)


@pytest.mark.parametrize(("kind", "more"), [("correlation", ()), ("effect", ("raw",))])
def test_columns_of_edges(study: Path, tmp_path: Path, kind: str, more: tuple[str, ...]) -> None:
    words = ("edges", "base", "--kind", kind, "-w", study, "-q")
    found = rows(*words)
    assert tuple(found[0]) == EDGES + more
    assert {row["kind"] for row in found} == {kind}
    assert tuple(next(csv.reader(io.StringIO(done(*words, "--format", "csv").out)))) == EDGES + more
    done(*words, "-o", tmp_path / "e.parquet")
    assert tuple(pd.read_parquet(tmp_path / "e.parquet").columns) == EDGES + more
    inputs = {row["input"] for row in found}
    assert inputs == ({""} if kind == "correlation" else {"all", "in"})
    assert len(found) == (190 if kind == "correlation" else 207)


def test_the_catalogue_of_queries(study: Path) -> None:
    catalogue = done("query", "--list", "--json", "-w", study).rows
    assert len(catalogue) >= 12
    assert all(set(entry) == {"name", "summary", "parameters"} for entry in catalogue)
    listed = done("query", "--list").out.splitlines()
    assert [line.split()[0] for line in listed] == [entry["name"] for entry in catalogue]
    [one] = done("query", "sign-flips", "--list", "--json").rows
    assert one["name"] == "sign-flips"
    assert "--param limit=" in done("query", "sign-flips", "--list").out


@pytest.mark.parametrize("query", [e["name"] for e in done("query", "--list", "--json").rows])
@pytest.mark.some(8)
def test_every_named_query_runs_bare(study: Path, query: str) -> None:
    found = rows("query", query, "-w", study)
    assert isinstance(found, list)
    assert all(isinstance(row, dict) for row in found)
    assert done("query", query, "-w", study).out


def test_queries_take_parameters(study: Path) -> None:
    found = rows(
        "query", "strongest-edges", "--param", "run=base", "--param", "limit=3", "-w", study
    )
    assert [row["variant"] for row in found] == ["base"] * 3
    text = "MATCH (v:Variant) WHERE v.name = $who RETURN v.name AS name, v.heads AS heads"
    found = rows("cypher", text, "--param", "who=base", "-w", study)
    assert found == [{"name": "base", "heads": 4}]
    assert rows("cypher", text, "--param", "who=' OR 1=1 //", "-w", study) == []


def test_data_goes_to_stdout_and_remarks_to_stderr(study: Path) -> None:
    answer = done("diff", "base", "utilitarian", "--format", "csv", "-w", study)
    assert "evidence ok" in answer.err
    assert "evidence ok" not in answer.out
    assert all(line.count(",") == 17 for line in answer.out.splitlines())
    quiet = done("diff", "base", "utilitarian", "--format", "csv", "-w", study, "--quiet")
    assert (quiet.out, quiet.err) == (answer.out, "")


def test_a_file_says_what_was_written_and_stdout_stays_empty(study: Path, tmp_path: Path) -> None:
    answer = done("edges", "base", "-w", study, "-o", tmp_path / "e.json")
    assert answer.out == ""
    assert "397 rows written" in answer.err
    assert len(json.loads((tmp_path / "e.json").read_text("utf-8"))) == 397
    done("edges", "base", "-w", study, "-o", tmp_path / "whole.txt", "--format", "table")
    assert len((tmp_path / "whole.txt").read_text("utf-8").splitlines()) == 398


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("diff", "base"), "Missing argument 'B'"),
        (("diff", "base", "nope"), "no variant 'nope'"),
        (("diff", "base", "utilitarian", "--lens", "wrong"), "'wrong' is not one of"),
        (("diff", "base", "utilitarian", "--format", "xml"), "'xml' is not one of"),
        (("diff", "base", "utilitarian", "--format", "parquet"), "-o FILE"),
        (("diff", "base", "utilitarian", "-o", "/nowhere/at/all.csv"), "no folder /nowhere/at"),
        (("diff", "base", "utilitarian", "-o", "."), "this is a folder"),
        (("diff", "base", "utilitarian", "-o", "x.xlsx"), "say --format"),
        (("diff", "base", "utilitarian", "--run", "zzz:yyy"), "no run whose id begins with 'zzz'"),
        (("diff", "base", "utilitarian", "--run", "zzz"), "A_ID:B_ID"),
        (("diff", "base", "utilitarian", "--null", "base"), "'base'"),
        (("diff", "base", "utilitarian", "--alpha", "2"), "alpha"),
        (("diff", "base", "utilitarian", "--alpha", "nan"), "alpha"),
        (("diff", "base", "utilitarian", "--margin", "-1"), "margin"),
        (("diff", "base", "utilitarian", "--margin", "much"), "'much'"),
        (("diff", "base", "utilitarian", "--lens", "effect", "--rank"), "rank"),
        (("diff", "base", "utilitarian", "--lens", "correlation", "--scale", "logit"), "scale"),
        (("diff", "base,utilitarian", "deontological"), "no variant"),
        (("compare", "base"), "Missing argument"),
        (("compare", "base", "utilitarian", "utilitarian"), "each once"),
        (("explain", "L9H9", "LOGITS", "base", "utilitarian"), "'L9H9'"),
        (("explain", "LOGITS", "EMBED", "base", "utilitarian"), "no edge"),
        (("hubs", "nope"), "no variant 'nope'"),
        (("edges", "nope"), "no variant 'nope'"),
        (("remove", "nope"), "no variant 'nope'"),
        (("report", "base", "nope", "-o", "x.html"), "no variant 'nope'"),
        (("export", "nope", "--format", "gexf", "-o", "x"), "no variant 'nope'"),
        (("export", "base", "--format", "pdf", "-o", "x"), "'pdf' is not one of"),
        (("export", "base", "utilitarian", "-o", "x.gexf"), "'x.gexf' is a name for one file"),
        (("query",), "--list"),
        (("query", "nope"), "no query is named 'nope'"),
        (("query", "nope", "--list"), "no query is named 'nope'"),
        (("query", "hubs", "--param", "x=1"), "no parameter 'x'"),
        (("query", "hubs", "--param", "limit=many"), "'many'"),
        (("query", "hubs", "--param", "limit"), "name=value"),
        (("query", "hubs", "--param", "run=nope"), "'nope' names no run"),
        (("cypher", "MATCH (n) RETRUN n"), "does not accept"),
        (("cypher", "CREATE (:Variant {id: 'x', name: 'x'})"), "does not accept"),
        (("cypher", "MATCH (v:Variant) WHERE v.name = $who RETURN v.name"), "who"),
        (("nope",), "No such command 'nope'"),
        (("prompts",), "Missing command"),
        (("--nope", "variants"), "No such option"),
        (("completion", "powershell"), "'powershell'"),
    ],
)
def test_wrong_use_is_told_in_one_line(study: Path, words: tuple[str, ...], told: str) -> None:
    before = sorted(p.name for p in (study / "diffs").iterdir())
    answer = cli(*words, *(() if words[0].startswith("--") else ("-w", study)))
    assert answer.code == 2
    assert told in answer.complaint
    assert sorted(p.name for p in (study / "diffs").iterdir()) == before


def test_the_trace_is_shown_with_debug_only(study: Path) -> None:
    answer = cli("--debug", "edges", "nope", "-w", study)
    assert answer.code == 2
    assert "Traceback" in answer.err
    assert answer.err.splitlines()[-1].startswith("error: no variant 'nope'")


def test_completion_for_every_shell() -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_CIRCUITGRAPH_COMPLETE" in done("completion", shell).out


def process(*words: object, **options: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "circuitgraph.cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def test_a_reader_that_leaves_early_is_no_error(study: Path) -> None:
    with process("edges", "base", "--json", "-w", study) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "[\n"
        running.stdout.close()
        assert running.stderr is not None
        assert running.stderr.read() == ""
        assert running.wait() == 0


def test_output_is_utf8_wherever_it_runs(study: Path) -> None:
    env = {"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    with process("explain", "EMBED", "L0H2", "base", "utilitarian", "-w", study, env=env) as run:
        out, err = run.communicate()
        assert run.returncode == 0, err
        assert out.startswith("EMBED → L0H2")


def test_an_interruption_is_130_and_says_what_to_do(tmp_path: Path) -> None:
    words = ("ingest", IPD / "base", "--name", "base", "--prompts", IPD / "prompts.jsonl")
    with process(*words, "--batch-size", "1", "--split-inputs", "-w", tmp_path / "w") as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("effect:"):
                running.send_signal(2)
                break
        rest = [line for line in running.stderr.read().splitlines() if line]
        assert running.wait() == 130
    assert rest == ["error: interrupted; the same command again goes on where this one stopped"]
