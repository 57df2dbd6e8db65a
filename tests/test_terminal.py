"""What a terminal gets and a pipe does not: the verdict first, colours, lines that fit, hints."""

from __future__ import annotations

import io
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from shell import IPD, cli, done, rows

from circuitgraph.cli import run
from circuitgraph.commands.terminal import fitted, remarked, with_verdicts

ESCAPE = re.compile(r"\x1b\[[\d;]*m")
TABLE = """source  target  verdict    change
lost    L1H0    sign_flip  0.7
L0H1    L1H0    unchanged  0.0
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")


def on_terminal(*words: object) -> list[str]:
    """The lines of stdout and stderr in the order in which they were written."""
    both = Terminal()
    with redirect_stdout(both), redirect_stderr(both):
        run([str(word) for word in words])
    return both.getvalue().splitlines()


def test_lines_are_broken_between_words_for_readers_alone() -> None:
    line = "warning: " + "word " * 30 + "https://example.org/" + "x" * 80
    assert fitted(line, io.StringIO()) == line
    broken = fitted(line, Terminal()).splitlines()
    assert " ".join(part.strip() for part in broken) == line
    assert all(len(part) <= 60 for part in broken[:-1])
    assert all(part.startswith("  ") for part in broken[1:])
    command = "next: circuitgraph " + "word " * 30
    assert fitted(command, Terminal()) == command


def test_verdicts_are_coloured_on_a_terminal_that_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with redirect_stdout(io.StringIO()):
        assert with_verdicts(TABLE) == TABLE
    with redirect_stdout(Terminal()):
        coloured = with_verdicts(TABLE)
        assert ESCAPE.sub("", coloured) == TABLE
        assert ESCAPE.findall(coloured) == [
            "\x1b[35m",
            "\x1b[0m",
        ]  # a component's name is no verdict
        for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
            with monkeypatch.context() as changed:
                changed.setenv(name, value)
                assert with_verdicts(TABLE) == TABLE
    with redirect_stderr(Terminal()):
        assert remarked("warning: ``margin`` is 0") == "\x1b[1mwarning: \x1b[0m--margin is 0"


def test_errors_are_one_plain_line_in_a_pipe_and_fit_on_a_terminal(tmp_path: Path) -> None:
    words = ("diff", "a", "b", "-w", tmp_path / "w")
    plain = cli(*words).complaint
    told = on_terminal(*words)
    assert told[0].startswith("\x1b[31m\x1b[1merror:\x1b[0m ")
    assert " ".join(ESCAPE.sub("", line).strip() for line in told) == plain


def test_the_verdict_stands_first_and_the_next_command_last(trio: Path) -> None:
    words = ("diff", "base", "utilitarian", "-w", trio)
    lines = on_terminal(*words)
    assert lines[0].startswith("\x1b[1mbase → utilitarian (effect lens")
    assert any("\x1b[33mrewired\x1b[0m" in line for line in lines)
    assert "Traceback" not in "\n".join(lines)
    piped = done(*words)
    assert "\x1b" not in piped.out + piped.err
    assert piped.err.splitlines()[0].startswith("base → utilitarian (effect lens")
    hint = piped.err.splitlines()[-1]
    assert ESCAPE.sub("", lines[-1]) == hint
    program, *again = shlex.split(hint.removeprefix("next: "))
    assert program == "circuitgraph"
    assert "Verdict: " in done(*again).out


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_scripts_get_no_hint(trio: Path, option: str) -> None:
    words = ("diff", "base", "utilitarian", "--lens", "correlation", "-w", trio)
    assert "\nnext: " in done(*words).err
    assert "next: " not in done(*words, option).err


def test_hints_of_an_ingest_lead_to_a_comparison(tmp_path: Path) -> None:
    """With the options that both runs must share; the base stands first, whatever came first."""
    prompts = tmp_path / "some prompts.jsonl"
    lines = (IPD / "prompts.jsonl").read_text("utf-8").splitlines(keepends=True)
    prompts.write_text("".join(lines[::20]), "utf-8")
    lora = IPD / "variants" / "hybrid"
    method = ("--edges", "correlation", "--granularity", "layer")
    words = ("ingest", IPD / "base", "--adapter", lora, "--name", "tuned", "--prompts", prompts)
    first = done(*words, *method, "-w", tmp_path / "w").err.splitlines()[-1]
    program, *again = shlex.split(first.removeprefix("next: "))
    assert program == "circuitgraph"
    assert again[-4:] == [*method]
    second = done(*again).err.splitlines()[-1]
    assert second.endswith(" diff base tuned")


def test_hubs_of_two_variants_say_at_80_columns_which_changed(
    trio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = ("hubs", "base", "utilitarian", "--kind", "effect", "-w", trio)
    text, table = done(*words).out.splitlines(), rows(*words)
    assert max(map(len, text)) <= 80
    assert text[0].split()[:2] == ["component", "changed"]
    assert [line.split()[1] == "yes" for line in text[1:23]] == [row["changed"] for row in table]
    moved = [row["component"] for row in table if row["changed"]]
    assert moved
    assert " ".join(text[24:]) == f"hubs changed: {len(moved)} of 22: {', '.join(moved)}"


def test_a_question_without_an_answer_says_so(trio: Path) -> None:
    answer = done("cypher", "MATCH (v:Variant {name: 'nobody'}) RETURN v.name", "-w", trio)
    assert answer.out == "v.name\n"
    assert answer.err == "no rows: nothing in the graph matches\n"
