"""The docs say what is: their commands print what stands there, their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from pydoc import locate

import pytest
from docs_output import BLOCK, agrees, fresh, printed, steps
from shell import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize(
    ("page", "until"),
    [
        # from there on it needs four more models
        pytest.param("tutorial", "## 5.", marks=pytest.mark.thorough),
        *(
            pytest.param(p, None, marks=pytest.mark.slow)
            for p in ("tutorial", "check", "components", "other-programs", "own-lora", "big-models")
        ),
    ],
)
def test_a_page_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, until: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "")
    fresh(tmp_path)
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    assert until is None or f"\n{until}" in text
    for block in BLOCK.findall(text.partition(f"\n{until}")[0]):
        for command, told in steps(block):
            lines = printed(command)
            assert agrees(told, lines), "\n".join([f"$ {command}", *lines])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = page.read_text("utf-8")
    for file, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name}: {file}"
        if heading:
            assert heading in anchors(target), f"{page.name}: {file}#{heading}"


def anchors(page: Path) -> set[str]:
    """The names by which links reach a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_what_the_reference_names_is_there() -> None:
    named = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "reference.md").read_text("utf-8"), re.M)
    assert len(named) > 5
    assert [name for name in named if locate(name) is None] == []


def test_what_is_left_out_is_marked() -> None:
    assert agrees(["a", "…", "c"], ["a", "b", "b", "c"])
    assert not agrees(["a", "…", "d"], ["a", "b", "c"])
    assert not agrees(["a"], ["a", "b"])
