"""Neo4j Browser in a headless Chromium: open it, connect, type, drop files, read drawings."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), "")

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_SECONDS = 60
_LOCAL = ("http://127.0.0.1:", "data:", "blob:")

_DROP = """([data, name]) => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name));
  for (const kind of ['dragenter', 'dragover', 'drop'])
    document.querySelector('.filedrop').dispatchEvent(
      new DragEvent(kind, {dataTransfer: files, bubbles: true, cancelable: true}));
}"""

_DRAWN = """frame => {
  const words = g => [...g.querySelectorAll('text')].map(t => t.textContent.trim()).join(' ');
  const shape = g => g.querySelector('.b-outline');
  const part = g => ({
    caption: words(g).trim(), fill: shape(g).getAttribute('fill'),
    stroke: shape(g).getAttribute('stroke')});
  return {nodes: [...frame.querySelectorAll('g.node')].map(part),
          edges: [...frame.querySelectorAll('g.relationship')].map(part)};
}"""

_PLACES = "frame => [...frame.querySelectorAll('g.node')].map(g => g.getAttribute('transform'))"


# How far a graph's middle is right of the middle of the space beside the legend.
_OFF_CENTRE = """frame => {
  const sides = g => g.getBoundingClientRect();
  const nodes = [...frame.querySelectorAll('g.node')].map(sides);
  const right = sides(frame.querySelector('[data-testid=vizInspector]')).left;
  const left = sides(frame.querySelector('svg.neod3viz')).left;
  return Math.min(...nodes.map(n => n.left)) / 2 + Math.max(...nodes.map(n => n.right)) / 2
    - (left + right) / 2;
}"""


@dataclass(frozen=True)
class Shape:
    """A node or relationship as drawn: its words and its colours."""

    caption: str
    fill: str
    stroke: str


@dataclass(frozen=True)
class Drawing:
    """What a frame of Browser shows as a graph."""

    nodes: tuple[Shape, ...]
    edges: tuple[Shape, ...]


class BrowserPage:
    """One page of Neo4j Browser, connected."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.console: list[str] = []
        page.on("console", lambda message: self.console.append(message.text))

    def drop(self, path: Path, name: str = "") -> None:
        """Drop a file on the page, as a hand would."""
        data = base64.b64encode(path.read_bytes()).decode()
        self.page.evaluate(_DROP, [data, name or path.name])

    def stored(self, key: str) -> Any:
        """What Browser keeps between visits: ``grass``, ``folders``, ``settings`` …"""
        return json.loads(self.page.evaluate("key => localStorage['neo4j.' + key] || 'null'", key))

    def until_stored(self, key: str, part: str) -> None:
        """Wait until what Browser keeps contains a text; it writes a little late."""
        question = "([key, part]) => (localStorage['neo4j.' + key] || 'null').includes(part)"
        self.page.wait_for_function(question, arg=[key, part])

    def type(self, statement: str) -> Any:
        """Type a statement, run it; returns the frame of its answer."""
        self.page.locator("[data-testid=activeEditor] .monaco-editor").first.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(statement)
        return self._answer(lambda: self.page.get_by_test_id("editor-Run").click())

    def favourite(self, folder: str, name: str) -> Any:
        """Run a saved script of a folder by the beginning of its name; returns the frame."""
        title = self.page.locator(f"[data-testid^='scriptTitle-{name}']")
        drawer = self.page.get_by_test_id("navigationFavorites")
        drawer.click()
        self.page.get_by_test_id(f"expandFolder-{folder}").click()
        item = self.page.get_by_test_id("savedScriptListItem").filter(has=title)
        frame = self._answer(item.get_by_test_id("savedScriptsButton-Run").click)
        drawer.click()
        title.wait_for(state="detached")
        return frame

    def _answer(self, act: Any) -> Any:
        """The frame that an act makes: the newest one is on top."""
        self.page.evaluate(
            "() => document.querySelectorAll('[data-testid=frame]').forEach(f => f.seen = true)"
        )
        from playwright.sync_api import TimeoutError as TookTooLong

        came = "() => !(document.querySelector('[data-testid=frame]') || {seen: true}).seen"
        act()
        try:
            self.page.wait_for_function(came, timeout=_SECONDS * 500)
        except TookTooLong:  # Browser loses a click while it is still setting itself up
            act()
            self.page.wait_for_function(came)
        return self.page.get_by_test_id("frame").first

    def drawing(self, frame: Any) -> Drawing:
        """The graph in a frame, once it has come to rest."""
        frame.locator("g.relationship").first.wait_for()
        seen = [""]
        while len(seen) < 4 or len(set(seen[-4:])) > 1:  # still for a second and a half
            self.page.wait_for_timeout(500)
            seen.append(str(frame.evaluate(_PLACES)))
        drawn = frame.evaluate(_DRAWN)
        nodes, edges = ([Shape(**shape) for shape in drawn[key]] for key in ("nodes", "edges"))
        return Drawing(tuple(nodes), tuple(edges))

    def picture(self, frame: Any, path: Path) -> None:
        """Save a frame as PNG: the graph beside the legend, and no button on top of a node."""
        corner = frame.locator("svg.neod3viz").bounding_box()
        assert corner is not None
        x, y = corner["x"] + corner["width"] / 4, corner["y"] + 5
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x - frame.evaluate(_OFF_CENTRE), y, steps=5)
        self.page.mouse.up()
        hide = "button => button.parentElement.style.visibility = 'hidden'"
        frame.locator("button[aria-label=zoom-in]").evaluate(hide)
        self.page.mouse.move(0, 0)
        frame.screenshot(path=path)


@contextlib.contextmanager
def opened(
    http: str, bolt: str, password: str, *, width: int, height: int
) -> Iterator[BrowserPage]:
    """Browser of a local server, connected to it; the world outside cannot be reached.

    Parameters
    ----------
    http, bolt : str
        ``http://127.0.0.1:7474`` and ``bolt://127.0.0.1:7687``, or other ports.
    password : str
        Typed into the form; it is in no URL.
    width, height : int
        Size of the window in pixels.
    """
    with launched() as chromium:
        page = chromium.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(_SECONDS * 1000)
        ours = BrowserPage(page)
        page.route("**/*", _stay_home)
        page.goto(f"{http}/browser/?dbms={bolt.replace('://', '://neo4j@')}&db=neo4j")
        page.fill("input[type=password]", password)
        page.get_by_test_id("connect").click()
        page.locator("input[type=password]").wait_for(state="detached")
        yield ours


def require_chromium(what: str) -> None:
    """Skip where there is no browser to look with."""
    if not CHROMIUM:
        pytest.skip(f"{what} needs Chromium, which is not installed")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip(f"{what} needs the package playwright, which is not installed")


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """A headless Chromium, closed at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield chromium
        chromium.close()


def _stay_home(route: Any) -> None:
    if route.request.url.startswith(_LOCAL):
        route.continue_()
    else:
        route.abort()
