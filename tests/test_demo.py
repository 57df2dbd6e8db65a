"""The demo on half the variants and a fifth of the prompts; whole in the slow tests."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from shell import IPD, cli, done

from circuitgraph import Workspace
from circuitgraph.base.errors import InputError
from circuitgraph.base.progress import Reporter
from circuitgraph.demo import Story, ingest_examples, last_lines, run_demo


def test_its_last_lines_say_what_was_found(demo: tuple[Path, list[str]]) -> None:
    out, lines = demo
    assert [line.partition(":")[0] for line in lines] == [
        "rewired", "noise", "hub", "levels", "page", "next",
    ]  # fmt: skip
    found = re.match(r"rewired: (\d+) of (\d+) edges differ between deontological and", lines[0])
    assert found
    assert 0 < int(found[1]) < int(found[2])
    assert re.search(r"a fine-tune that teaches nothing, on 0;", lines[1])
    bare, tested = re.findall(r"\|Δr\| ≥ 0.3 would report (\d+) correlations, (\d+)", lines[1])[0]
    assert int(bare) > int(tested)
    assert re.match(r"hub: \w+ in utilitarian \(rank \d+", lines[2])
    level = r"[\d.]+% \([\d.]+%\)"
    assert re.search(rf"weights {level}, attention {level}, behaviour {level}, inter", lines[3])
    assert lines[4] == f"page: {out / 'index.html'}"


def test_the_last_line_can_be_typed(demo: tuple[Path, list[str]]) -> None:
    program, *words = shlex.split(demo[1][5].removeprefix("next: "))
    assert Path(program).name == "circuitgraph"
    answer = done(*words)
    assert "Verdict: " in answer.out
    assert "CC_continue" in answer.out
    # the numbers of the first line: the hint asks at the scope of the claim
    told = re.search(r"strongest .*, (\S+) to (\S+) of the norm", demo[1][0])
    again = re.search(r": (\S+) in deontological, (\S+) in utilitarian", answer.out)
    assert told
    assert again
    assert [f"{float(number):+.2f}" for number in again.groups()] == list(told.groups())


def test_the_page_tells_the_story(demo: tuple[Path, list[str]]) -> None:
    page = (demo[0] / "index.html").read_text("utf-8")
    for title in ("Two recipes", "Two seeds", "teaches nothing", "One trained MLP", "published"):
        assert re.search(rf"<h2>[^<]*{title}", page), title
    assert "would report" in page


def times(folder: Path) -> dict[Path, int]:
    """When each file was last written; locks come and go."""
    files = [path for path in folder.rglob("*") if path.suffix != ".lock"]
    return {path: path.stat().st_mtime_ns for path in files if path.is_file()}


@pytest.mark.thorough
def test_a_second_ingest_of_the_examples_finds_the_first(examples: Path, study: Path) -> None:
    made = times(study / "runs")
    ingest_examples(Workspace(study), Reporter(), examples)
    assert times(study / "runs") == made


@pytest.mark.slow
def test_a_second_demo_finds_the_first(
    demo: tuple[Path, list[str]], examples: Path, study: Path
) -> None:
    made = times(study / "runs")
    assert run_demo(demo[0], Reporter(), examples) == demo[1]
    assert times(study / "runs") == made


def test_without_examples_it_says_where_they_come_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run make demo"):
        run_demo(tmp_path / "out", Reporter(), tmp_path)
    assert not (tmp_path / "out").exists()


def test_its_models_are_copied_to_a_new_folder(tmp_path: Path) -> None:
    done("demo", "--examples", tmp_path / "ipd")
    names = {path.relative_to(IPD) for path in IPD.rglob("*")}
    assert {path.relative_to(tmp_path / "ipd") for path in (tmp_path / "ipd").rglob("*")} == names
    assert "name a new folder" in cli("demo", "--examples", tmp_path / "ipd").complaint


def test_too_few_seeds_are_told(study: Path) -> None:
    workspace, names = Workspace(study), ("deontological-seed1", "utilitarian-seed1")
    one_each = workspace.diff(*names, scope="recipe")
    naive, hubs = workspace.diff(*names, lens="correlation"), workspace.hubs(*names, kind="effect")
    levels = workspace.levels(*names, lens="effect", seeds=(), measure=False)
    story = Story(one_each, naive, one_each, one_each, one_each, hubs, levels)
    told = last_lines(story, workspace, study / "index.html")
    assert told[0] == "rewired: cannot tell; a recipe needs three variants or more a side"
