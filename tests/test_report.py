"""The page of a diff, and its words: the answer first, nothing that runs, nothing from outside."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from measured import effect_run, table_run
from shell import cli, done

from circuitgraph.base.errors import InputError
from circuitgraph.diff.compare import compare_runs
from circuitgraph.diff.record import Diff
from circuitgraph.report.page import Section, write_page, write_report
from circuitgraph.report.words import headline, summary_lines

SCENARIOS = np.repeat(["s", "t"], 20)


def effects(seed: int, strength: float) -> np.ndarray:
    """Forty prompts, three edges; the first has ``strength``."""
    noise = 0.01 * np.random.default_rng(seed).normal(size=(40, 3))
    return noise + np.array([strength, 1.0, 1.0])


@pytest.fixture
def changed() -> Diff:
    a = effect_run(effects(0, 1.0), SCENARIOS, "A", decisions=np.full(40, 2.0))
    b = effect_run(effects(1, -1.0), SCENARIOS, "B", decisions=np.full(40, -2.0))
    return compare_runs([a], [b], name_a="A", name_b="B", lens="effect")


@pytest.fixture
def thin() -> Diff:
    activity = np.random.default_rng(0).normal(size=(2, 10, 4))
    a, b = (table_run(x, [0] * 10, name) for x, name in zip(activity, "AB", strict=True))
    return compare_runs([a], [b], name_a="A", name_b="B", lens="correlation")


def test_the_headline_counts_claims_and_names_the_evidence(changed: Diff) -> None:
    assert headline(changed) == (
        "A → B (effect lens, checkpoint scope): 1 of 3 testable edges changed beyond a margin of "
        "0.01 (1 sign flip); 40 prompts in 2 scenarios, evidence ok"
    )


def test_thin_evidence_cannot_tell(thin: Diff) -> None:
    assert headline(thin) == (
        "A → B (correlation lens, checkpoint scope): cannot tell; 10 prompts in 1 scenarios, "
        "evidence insufficient"
    )
    assert any("without a test" in line for line in summary_lines(thin))


def test_every_line_of_the_summary_is_one_line(changed: Diff) -> None:
    lines = summary_lines(changed)
    assert lines[0] == headline(changed)
    assert all("\n" not in line for line in lines)
    assert any(line.startswith("yardstick: ") for line in lines)
    assert any(line.startswith("gain ") for line in lines)


def test_a_page_is_self_contained(changed: Diff, tmp_path: Path) -> None:
    write_report(changed, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert not re.search(r"<(script|link|img|iframe|object|embed)\b", page)
    assert not re.search(r"\b(src|href|on\w+)=", page)
    assert "url(" not in page
    assert page.count("<path") == 1
    assert "sign flip" in page
    assert "nan" not in page.lower().replace("resonan", "")
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_a_page_shows_claims_by_scenario_and_what_both_decide(
    changed: Diff, tmp_path: Path
) -> None:
    write_report(changed, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "Each claim by scenario" in page
    assert re.search(r"<td>100%</td><td>-1\.\d{3}</td><td>-1\.\d{3}</td>", page)
    assert "+2.00" in page
    assert "-2.00" in page


def test_a_page_without_claims_says_so(thin: Diff, tmp_path: Path) -> None:
    write_report(thin, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "cannot tell" in page
    assert "<path" not in page
    assert 'class="answer tell"' in page


def test_several_diffs_make_one_page(changed: Diff, thin: Diff, tmp_path: Path) -> None:
    sections = [Section("First <b>", "Look & see", changed), Section("Second", "", thin)]
    write_page("Title </title>", ["line <i>"], sections, tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text("utf-8")
    assert "First &lt;b&gt;" in page
    assert "Look &amp; see" in page
    assert "Title &lt;/title&gt;" in page
    assert "line &lt;i&gt;" in page


def test_a_page_that_cannot_be_written_is_one_error(changed: Diff, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_report(changed, tmp_path / "absent" / "r.html")


def test_a_page_colours_claims_by_verdict_and_heads_columns_by_unit(
    changed: Diff, tmp_path: Path
) -> None:
    write_report(changed, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text("utf-8")
    pink = "#CC79A7"  # a sign flip, by the legend, on the arc and in the table
    assert page.count(f'stroke="{pink}"') == 1
    assert f'<span style="color: {pink}">■</span> sign flip' in page
    assert "grew" not in page
    assert "shrank" not in page
    assert "<th>share_a</th><th>share_b</th><th>change</th>" in page
    assert "share_a, share_b: share of the norm of all edge effects" in page


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("r.pdf", "the report is an HTML page; end the name in .html"),
        ("nodir/r.html", "there is no folder"),
        ("folder.html", "this is a folder"),
    ],
)
def test_where_no_page_can_be_written_is_said_before_the_work(
    tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    answer = cli("report", "no", "variants", "-o", tmp_path / name, "-w", tmp_path / "w")
    assert answer.code == 2
    assert told in answer.complaint


def test_report_command_at_both_lenses_and_scopes(study: Path, tmp_path: Path) -> None:
    for i, options in enumerate((("--lens", "correlation"), ("--scope", "recipe"))):
        words = ("report", "deontological", "utilitarian", "-o", tmp_path / f"{i}.html", *options)
        answer = done(*words, "-w", study)
        assert answer.out == ""
        assert f"page written to {tmp_path / f'{i}.html'}" in answer.err
        assert "deontological → utilitarian" in (tmp_path / f"{i}.html").read_text("utf-8")
