"""The page of a diff, and its words: the answer first, nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import effect_run, table_run
from shell import cli, done

from circuitgraph.base.errors import InputError
from circuitgraph.diff.compare import compare_runs
from circuitgraph.diff.explain import explain_edge
from circuitgraph.diff.record import Diff
from circuitgraph.report.files import page_name
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


def read(page: Path) -> tuple[str, dict]:
    """The page without its data and scripts, and the data."""
    html = page.read_text("utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert found is not None
    return re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.S), json.loads(found[1])


def test_a_page_is_self_contained(changed: Diff, tmp_path: Path) -> None:
    write_report(changed, tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text("utf-8")
    text, _ = read(tmp_path / "r.html")
    scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src "
    assert policy + " ".join(f"'sha256-{one}'" for one in hashes) in html
    assert not re.search(r"<(link|img|iframe|object|embed)\b", text)
    assert not re.search(r"\b(src|on\w+)=", text)
    assert "url(" not in html.split("<style>")[1].split("</style>")[0]
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_the_data_of_a_page_are_the_table(changed: Diff, tmp_path: Path) -> None:
    write_report(changed, tmp_path / "r.html")
    (data,) = read(tmp_path / "r.html")[1]["diffs"]
    edges, names = data["edges"], data["nodes"]["name"]
    assert [names[i] for i in edges["source"]] == changed.table["source"].tolist()
    assert [names[i] for i in edges["target"]] == changed.table["target"].tolist()
    assert [data["verdicts"][i] for i in edges["verdict"]] == changed.table["verdict"].tolist()
    for column in ("weight_a", "weight_b", "delta", "low", "high", "p", "q"):
        expected = changed.table[column].to_numpy(float)
        np.testing.assert_allclose(edges[column], expected, rtol=1e-5)
    (claim,) = data["details"].values()
    means = changed.details[["mean: s", "mean: t"]].iloc[0]
    np.testing.assert_allclose(claim["means"], means, rtol=1e-5)
    assert data["scenarios"] == ["s", "t"]


def test_examples_are_the_prompts_of_most_median_and_least_change(
    changed: Diff, tmp_path: Path
) -> None:
    write_report(changed, tmp_path / "r.html")
    (data,) = read(tmp_path / "r.html")[1]["diffs"]
    row = changed.claims.iloc[0]
    per_prompt = explain_edge(changed, row["source"], row["target"]).per_prompt
    order = per_prompt["change"].abs().sort_values(ascending=False).index
    expected = per_prompt.loc[[order[0], order[len(order) // 2], order[-1]]]
    (found,) = data["examples"]["by_edge"].values()
    prompts = [data["examples"]["prompts"][at]["id"] for at, *_ in found]
    assert prompts == expected["prompt"].tolist()
    column = data["examples"]["columns"].index("change") + 1
    np.testing.assert_allclose([line[column] for line in found], expected["change"], rtol=1e-5)


def test_a_page_says_what_both_decide_how_it_was_made_and_what_was_not_checked(
    changed: Diff, tmp_path: Path
) -> None:
    write_report(changed, tmp_path / "r.html")
    text, _ = read(tmp_path / "r.html")
    assert "+2.00" in text
    assert "-2.00" in text
    assert "against the hypothesis that they do not exceed a margin of 0.01" in text
    assert "40 distinct prompts in 2 scenarios" in text
    assert "Not checked" in text
    assert "@software{circuitgraph" in text
    assert "share_a" not in text.split("Where the numbers come from")[0]
    assert "weight_a: share of the norm of all edge effects" in text


def test_a_page_without_claims_says_so(thin: Diff, tmp_path: Path) -> None:
    write_report(thin, tmp_path / "r.html")
    text, data = read(tmp_path / "r.html")
    assert "cannot tell" in text
    assert 'class="verdict tell"' in text
    assert data["diffs"][0]["details"] == {}
    assert data["diffs"][0]["hubs"] == []


def test_a_page_of_too_many_edges_keeps_claims_and_says_what_is_left(
    changed: Diff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("circuitgraph.report.payload.MOST_EDGES", 2)
    write_report(changed, tmp_path / "r.html")
    (data,) = read(tmp_path / "r.html")[1]["diffs"]
    assert data["total"] == 3
    assert [data["verdicts"][i] for i in data["edges"]["verdict"]].count("sign_flip") == 1
    assert len(data["edges"]["source"]) == 2
    assert list(data["details"]) == [str(data["edges"]["delta"].index(min(data["edges"]["delta"])))]


def test_several_diffs_make_one_page(changed: Diff, thin: Diff, tmp_path: Path) -> None:
    sections = [Section("First <b>", "Look & see", changed), Section("Second", "", thin)]
    write_page("Title </title>", ["line <i>"], sections, tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text("utf-8")
    assert "First &lt;b&gt;" in page
    assert "Look &amp; see" in page
    assert "Title &lt;/title&gt;" in page
    assert "line &lt;i&gt;" in page
    assert len(read(tmp_path / "p.html")[1]["diffs"]) == 2


def test_a_page_that_cannot_be_written_is_one_error(changed: Diff, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_report(changed, tmp_path / "absent" / "r.html")


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


def test_without_o_the_page_takes_the_names_and_replaces_only_a_page(
    trio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("report", "base", "utilitarian", "--lens", "correlation", "-w", trio)
    page = tmp_path / "report-base-vs-utilitarian+correlation.html"
    page.write_text("<html>mine</html>", "utf-8")
    refused = cli(*words)
    assert refused.code == 2
    assert "no page that circuitgraph wrote; name the page with -o FILE" in refused.complaint
    assert page.read_text("utf-8") == "<html>mine</html>"
    page.unlink()
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    for expected in (["--open"], []):
        assert f"page written to {page.name}" in done(*words, *expected).err
    assert opened == [page.as_uri()]
    assert cli("report", "base", "nobody", "--open", "-w", trio).code == 2
    assert len(opened) == 1
    assert list(tmp_path.iterdir()) == [page]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a/b", "c"), ("a_b", "c")),
        (("x-vs", "y"), ("x", "vs-y")),
        (("a" * 80, "b"), ("a" * 81, "b")),
        (("a", "b-wiring"), ("a", "b", "wiring")),
        (("a", "b"), ("b", "a")),
    ],
)
def test_pages_of_other_pairs_have_other_names(one: tuple, other: tuple) -> None:
    assert page_name(*one) != page_name(*other)


@given(st.text(min_size=1), st.text(min_size=1))
@settings(max_examples=50, deadline=None)
def test_any_names_make_a_name_that_stays_in_the_folder(a: str, b: str) -> None:
    name = page_name(a, b)
    assert Path(name).name == name
    assert re.fullmatch(r"report-[A-Za-z0-9._+-]+\.html", name)
    assert len(name) < 200


def test_report_command_at_both_lenses_and_scopes(study: Path, tmp_path: Path) -> None:
    for i, options in enumerate((("--lens", "correlation"), ("--scope", "recipe"))):
        words = ("report", "deontological", "utilitarian", "-o", tmp_path / f"{i}.html", *options)
        answer = done(*words, "-w", study)
        assert answer.out == ""
        assert f"page written to {tmp_path / f'{i}.html'}" in answer.err
        assert "deontological → utilitarian" in (tmp_path / f"{i}.html").read_text("utf-8")
