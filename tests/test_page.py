"""The page in a real browser: linked views, filters, hostile names, pictures, small screens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import neo4j_browser
import numpy as np
import pandas as pd
import pytest
from measured import effect_run

from circuitgraph.base.components import Edge
from circuitgraph.diff.compare import compare_runs
from circuitgraph.diff.record import Diff
from circuitgraph.report.page import write_report

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
SCENARIOS = np.repeat(["s", HOSTILE, "u"], 20)
EDGES = (
    *(Edge(f"L{layer}H{head}", "L3H0", "q") for layer in range(3) for head in range(3)),
    *(Edge(f"L{layer}_MLP", "LOGITS", "in") for layer in range(4)),
    Edge("EMBED", "L0H1", "v"),
    Edge("EMBED", "LOGITS", "in"),  # stays, and is most of the norm: shares of others stay too
)
CHANGED = {0: 1.0, 4: -1.0, 10: 0.7, 13: -0.6}


def diff_of(edges: tuple[Edge, ...], changed: dict[int, float], strongest: float = 20.0) -> Diff:
    """Sixty prompts; the edges of ``changed`` change by so much, the others do not."""
    constant = np.full(len(edges), 0.3)
    constant[-1] = strongest
    noise = np.random.default_rng(0).normal(size=(2, len(SCENARIOS), len(edges))) * 0.01
    moved = np.array([changed.get(i, 0.0) for i in range(len(edges))])
    runs = [
        replace(effect_run(constant + noise[k] + k * moved, SCENARIOS, name), edges=edges)
        for k, name in enumerate((f"A {HOSTILE}", "B"))
    ]
    return compare_runs(runs[:1], runs[1:], name_a=f"A {HOSTILE}", name_b="B", lens="effect")


@pytest.fixture(scope="module")
def diff() -> Diff:
    return diff_of(EDGES, CHANGED)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    neo4j_browser.require_chromium("the page")
    with neo4j_browser.launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def file(diff: Diff, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(diff, tmp_path_factory.mktemp("page") / "r.html")


@pytest.fixture
def page(chromium: Any, file: Path) -> Iterator[Any]:
    """The page, which asked for nothing, ran nothing of a name and raised no error."""
    opened = chromium.new_page(viewport={"width": 1400, "height": 1000})
    opened.set_default_timeout(60_000)
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("dialog", lambda dialog: wrong.append(dialog.message))
    opened.on("console", lambda line: line.type == "error" and wrong.append(line.text))
    opened.on(
        "request",
        lambda asked: asked.url.startswith(("file:", "data:", "blob:")) or wrong.append(asked.url),
    )
    opened.goto(file.as_uri())
    opened.locator("#table tbody tr").first.wait_for()
    yield opened
    opened.close()
    assert wrong == []


def rows(page: Any) -> list[str]:
    return page.locator("#table tbody tr td:first-child").all_inner_texts()


def test_claims_come_first_and_filters_say_what_is_shown(page: Any) -> None:
    assert len(rows(page)) == 4
    assert "4 of 15 edges are shown, 4 of 4 claims" in page.inner_text("#shown")
    page.get_by_label("unchanged").check()
    page.get_by_text("15 of 15 edges are shown").wait_for()
    page.get_by_label("|change| at least").fill("0.02")
    page.get_by_text("4 of 15 edges are shown").wait_for()
    page.get_by_role("searchbox", name="Component").fill("l3h0")
    page.get_by_text("2 of 15 edges are shown").wait_for()
    assert {text.split(" ")[0] for text in rows(page)} == {"L0H0", "L1H1"}
    page.get_by_role("button", name="Reset").click()
    page.get_by_text("4 of 15 edges are shown").wait_for()
    page.get_by_label("Layers from").fill("1")
    page.get_by_text("2 of 15 edges are shown").wait_for()


def test_a_click_on_a_row_chooses_the_edge_everywhere(page: Any) -> None:
    circuit = "figures.circuit.drawn.getOption().series.find(s => s.id === 'chosen-0').data.length"
    volcano = "figures.volcano.drawn.getOption().series.find(s => s.id === 'chosen').data"
    assert page.evaluate(circuit) == 0
    page.locator("#table tbody tr", has_text="L1H1").click()
    assert page.locator('#table tr[aria-selected="true"]').inner_text().startswith("L1H1")
    assert "L1H1 → L3H0 (q)" in page.inner_text("#pinned")
    assert "changes most on" in page.inner_text("#pinned")
    assert page.evaluate(circuit) == 1
    ((x, _),) = page.evaluate(volcano)
    assert x == pytest.approx(page.evaluate("edge(state.chosen).delta"))
    page.keyboard.press("Escape")
    assert page.evaluate(circuit) == 0
    assert "No edge is chosen" in page.inner_text("#pinned")


def test_a_click_on_an_arc_and_on_a_cell_chooses_too(page: Any) -> None:
    for view, spot in (
        ("circuit", "(() => { const [a, m, b] = bow(4, p => figures.circuit.drawn.convertToPixel("
         "{ gridIndex: 0 }, p)); return [0, 1].map(k => (a[k] + 2 * m[k] + b[k]) / 4); })()"),
        ("volcano", "figures.volcano.drawn.convertToPixel({ gridIndex: 0 }, volcanoPoint(13))"),
    ):  # fmt: skip
        page.locator(f"#{view}").scroll_into_view_if_needed()
        x, y = page.evaluate(spot)
        page.locator(f"#{view} .chart").hover(position={"x": x, "y": y})
        assert "95%" in page.inner_text("#tip")
        page.locator(f"#{view} .chart").click(position={"x": x, "y": y})
        assert page.evaluate("state.chosen") == (4 if view == "circuit" else 13)


def test_keys_walk_through_the_table_and_headings_sort_it(page: Any) -> None:
    page.locator("#table tbody tr").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("#table tbody tr").nth(1).get_attribute("aria-selected") == "true"
    page.get_by_role("columnheader", name="change").get_by_role("button").click()
    shown = page.locator("#table tbody tr td:nth-child(5)").all_inner_texts()
    assert [float(text) for text in shown] == sorted(map(float, shown), reverse=True)


def test_pictures_and_the_table_are_saved(page: Any, diff: Diff, tmp_path: Path) -> None:
    for kind, first in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as saved:
            page.get_by_role("button", name=f"The circuit as {kind}").click()
        saved.value.save_as(tmp_path / kind)
        content = (tmp_path / kind).read_bytes()
        assert content.startswith(first)
        assert len(content) > 2_000
    with page.expect_download() as saved:
        page.get_by_role("button", name="Table as CSV").click()
    saved.value.save_as(tmp_path / "edges.csv")
    table = pd.read_csv(tmp_path / "edges.csv", keep_default_na=False)
    claims = diff.claims.sort_values("delta", key=lambda d: -d.abs())
    assert table["source"].tolist() == claims["source"].tolist()
    np.testing.assert_allclose(table["delta"], claims["delta"], rtol=1e-5)


def test_names_stay_text_and_both_themes_are_drawn(page: Any) -> None:
    assert "A <img src=x onerror=" in page.inner_text("h1")
    assert page.locator("img").count() == 0
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Dark or light").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.get_by_role("button", name="Both beside each other").click()
    assert page.evaluate("figures.circuit.drawn.getOption().grid.length") == 2


def test_a_telephone_shows_all_in_one_column(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    # Figures follow the width a moment later; without a change this times out.
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
    boxes = [page.locator(f"#{view}").bounding_box() for view in ("circuit", "heat", "volcano")]
    assert all(box["width"] <= 390 for box in boxes)
    assert boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]


def test_every_table_scrolls_by_itself() -> None:
    """So that a long name widens no page: that of null pairs did, on a telephone."""
    text = resources.files("circuitgraph.report.assets").joinpath("page.html").read_text("utf-8")
    tables = [line for line in text.splitlines() if "<table" in line]
    assert len(tables) >= 5
    assert all(line.startswith('<div class="wide"><table') for line in tables)


@pytest.mark.slow
def test_two_thousand_claims_are_drawn_within_a_frame(chromium: Any, tmp_path: Path) -> None:
    """Processor time of the page's thread, which a busy machine does not stretch."""
    heads = [f"L{layer}H{head}" for layer in range(30) for head in range(9)]
    edges = tuple(
        Edge(a, b, "all") for i, b in enumerate(heads) for a in heads[:i] if a[:3] != b[:3]
    )[:40_000]
    some = np.random.default_rng(1).choice(len(edges) - 1, 2_000, replace=False)
    drawn = diff_of(edges, {int(i): 40.0 * (-1) ** k for k, i in enumerate(some)}, 2000.0)
    assert len(drawn.claims) >= 2_000
    opened = chromium.new_page(viewport={"width": 1400, "height": 1000})
    opened.set_default_timeout(180_000)
    opened.goto(write_report(drawn, tmp_path / "big.html").as_uri())
    opened.locator("#table tbody tr").first.wait_for()
    session = opened.context.new_cdp_session(opened)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(m["value"] for m in metrics if m["name"] == "TaskDuration")

    opened.locator("#circuit").scroll_into_view_if_needed()
    box = opened.locator("#circuit .chart").bounding_box()
    before = spent()
    for step in range(40):
        opened.mouse.move(box["x"] + 100 + 8 * step, box["y"] + 100 + 15 * (step % 20))
    assert (spent() - before) / 40 < 0.06
    opened.close()
