"""Neo4j Browser on a real server with real variants: style, saved queries, drawings.

``CIRCUITGRAPH_PICTURES=docs/images pytest -m browser`` makes the pictures of the guide anew.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import neo4j_browser
import pandas as pd
import pytest
from browser_scripts import FOLDER, saved_queries
from conftest import TRIO
from neo4j_browser import BrowserPage, Drawing
from neo4j_server import Server, clear

from circuitgraph import Workspace
from circuitgraph.queries import list_queries, run_query
from circuitgraph.store.neo4j import Neo4jStore
from circuitgraph.store.protocol import Store, parameter_names

pytestmark = [pytest.mark.browser, pytest.mark.neo4j, pytest.mark.thorough]

SET_UP = "circuitgraph 1 set up"
DRAW = "circuitgraph 2 draw"
STYLE = json.loads(saved_queries.style_script().split(":style ")[1])


@pytest.fixture(scope="module")
def site(neo4j_server: Server) -> str:
    """Address of Browser on a server with the settings we recommend for it."""
    neo4j_browser.require_chromium("Neo4j Browser")
    if neo4j_server.home is None:
        pytest.skip("Neo4j Browser is looked for on a server of our own, which needs java and mvn")
    ports = (neo4j_server.home / "conf" / "ports").read_text()
    return f"http://127.0.0.1:{ports.split()[1]}"


@pytest.fixture(scope="module")
def workspace(site: str, neo4j_server: Server, trio: Path) -> Iterator[Workspace]:
    """Three real variants and what differs between them, in the server."""
    with pytest.MonkeyPatch.context() as patch, Neo4jStore(neo4j_server.address) as store:
        clear(store)
        for name, value in neo4j_server.environment.items():
            patch.setenv(name, value)
        pushed = Workspace(trio, store="neo4j")
        pushed.push()
        yield pushed
        clear(store)


@pytest.fixture(scope="module")
def store(workspace: Workspace) -> Iterator[Store]:
    with workspace.open_store() as opened:
        yield opened


@pytest.fixture(scope="module")
def browser(site: str, neo4j_server: Server, workspace: Workspace) -> Iterator[BrowserPage]:
    """Browser with everything of ours imported and set up."""
    address = neo4j_server.address
    with neo4j_browser.opened(site, address.uri, address.password, width=1240, height=900) as page:
        page.drop(saved_queries.ARCHIVE)
        page.until_stored("folders", "circuitgraph 3 ask")
        page.favourite(SET_UP, "1 style")
        page.favourite(SET_UP, "2 parameters")
        while "another_recipe" not in page.type(":params").inner_text():
            page.page.wait_for_timeout(500)
        page.favourite(SET_UP, "4 colour").get_by_text("Added").first.wait_for()
        yield page


@pytest.fixture(scope="module")
def parameters(browser: BrowserPage) -> dict[str, str]:
    """What the set-up script found."""
    return json.loads(browser.type(":params").get_by_test_id("rawParamData").inner_text())


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return Path(os.environ.get("CIRCUITGRAPH_PICTURES", tmp_path))


def fills(drawing: Drawing, caption: str = "") -> set[str]:
    return {edge.fill for edge in drawing.edges if edge.caption.startswith(caption)}


def colour(selector: str) -> str:
    return STYLE[selector]["color"]


def test_a_dropped_style_sheet_is_taken_as_it_is(browser: BrowserPage) -> None:
    browser.type(":style reset")
    browser.until_stored("grass", "null")
    browser.drop(FOLDER / "circuitgraph.grass")
    browser.until_stored("grass", "REWIRED")
    assert browser.stored("grass") == STYLE


def test_the_dropped_archive_becomes_folders_of_scripts(browser: BrowserPage) -> None:
    ours = [f for f in browser.stored("folders") if f["name"].startswith("circuitgraph ")]
    kept = [
        d["content"]
        for d in browser.stored("documents")
        if d.get("folder") in {f["id"] for f in ours}
    ]
    assert kept == [text for _, text in saved_queries.scripts()]


@pytest.mark.parametrize("query", list_queries(), ids=lambda query: query.name)
def test_a_saved_query_answers_as_the_named_one(
    query: saved_queries.NamedQuery, parameters: dict[str, str], store: Store
) -> None:
    text = saved_queries.browser_text(query)
    used = {name: parameters[name] for name in parameter_names(text)}
    pd.testing.assert_frame_equal(store.query(text, used), run_query(store, query.name))


def test_claims_are_drawn_in_red_between_named_components(
    browser: BrowserPage, store: Store, pictures: Path
) -> None:
    frame = browser.favourite(DRAW, "draw-claims")
    drawn = browser.drawing(frame)
    claims = run_query(store, "rewired")
    assert {node.caption for node in drawn.nodes} == {*claims["source"], *claims["target"]}
    assert len(drawn.edges) == len(claims) > 10
    assert fills(drawn) == {colour("relationship.REWIRED")}
    # Browser shortens what does not fit on a short arrow.
    words = {edge.caption.rstrip("…") for edge in drawn.edges}
    assert all(any(v.startswith(w) for v in claims["verdict"]) for w in words)
    assert "sign_flip" in words
    browser.picture(frame, pictures / "browser-claims.png")


def test_a_component_is_drawn_in_both_variants_at_once(
    browser: BrowserPage, parameters: dict[str, str], pictures: Path
) -> None:
    frame = browser.favourite(DRAW, "draw-component-in-both")
    drawn = browser.drawing(frame)
    assert parameters["component"] in {node.caption for node in drawn.nodes}
    effects = [e for e in drawn.edges if e.fill == colour("relationship.AFFECTS")]
    assert fills(drawn) == {colour("relationship.AFFECTS"), colour("relationship.REWIRED")}
    # Browser shortens names that do not fit on a short arrow.
    words = {edge.caption.rstrip("…") for edge in effects}
    assert all(any(name.startswith(word) for name in TRIO) for word in words), words
    assert len(effects) > 2
    browser.picture(frame, pictures / "browser-component.png")


def test_variants_runs_and_diffs_are_told_apart(browser: BrowserPage, pictures: Path) -> None:
    frame = browser.favourite(DRAW, "draw-provenance")
    drawn = browser.drawing(frame)
    fill = {node.caption: node.fill for node in drawn.nodes}
    assert {fill[name] for name in TRIO} == {colour("node.Variant")}
    assert fill["deontological → utilitarian"] == colour("node.Diff")
    assert fill["base correlation norm"] == colour("node.Run")
    browser.picture(frame, pictures / "browser-provenance.png")


def test_layers_go_from_light_to_dark_and_mlps_wear_a_ring(browser: BrowserPage) -> None:
    drawn = browser.drawing(browser.favourite(DRAW, "draw-strongest-edges"))
    looks = {node.caption: node for node in drawn.nodes}
    depths = {name: looks[name].fill for name in looks if re.match(r"L\d", name)}
    of_layer = {"0": "Depth1", "1": "Depth2", "2": "Depth4", "3": "Depth5"}
    assert depths == {name: colour(f"node.{of_layer[name[1]]}") for name in depths}
    rings = {name for name in looks if looks[name].stroke == STYLE["node.MLP"]["border-color"]}
    assert rings == {name for name in looks if name.endswith("_MLP")} != set()


def test_labels_for_colour_change_nothing_circuitgraph_reads(
    browser: BrowserPage, store: Store
) -> None:
    labels = "MATCH (c:Component) WHERE size(labels(c)) > 1 RETURN count(c) AS n"
    before = store.read_all()
    assert store.query(labels)["n"].iloc[0] == 22
    browser.favourite(SET_UP, "5 uncolour").get_by_text("Removed").first.wait_for()
    assert store.query(labels)["n"].iloc[0] == 0
    after = store.read_all()
    for label, frame in before.nodes.items():
        pd.testing.assert_frame_equal(frame, after.nodes[label])
    browser.favourite(SET_UP, "4 colour").get_by_text("Added").first.wait_for()


@pytest.mark.parametrize(
    "statement",
    [
        "MATCH p = (:Component)-[:REWIRED {verdict: 'sign_flip'}]->(:Component)\n"
        "RETURN p LIMIT 100",
        pytest.param(
            "MATCH p = (:Component)-[:REWIRED]->(:Component {name: 'LOGITS'})\nRETURN p LIMIT 100",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "MATCH p = (:Component)-[e:REWIRED]->(:Component)-[f:REWIRED]->(:Component)\n"
            "WHERE e.diff = $diff AND f.diff = $diff RETURN p LIMIT 100",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_statement_typed_by_hand_is_drawn(browser: BrowserPage, statement: str) -> None:
    assert statement in (FOLDER.parents[1] / "docs" / "neo4j-browser.md").read_text("utf-8")
    drawn = browser.drawing(browser.type(statement))
    assert fills(drawn) == {colour("relationship.REWIRED")}
    assert all(re.fullmatch(r"L\d+(H\d+|_MLP)|EMBED|LOGITS", n.caption) for n in drawn.nodes)


def test_the_settings_of_the_server_let_browser_draw_only_what_a_query_returns(
    browser: BrowserPage,
) -> None:
    assert browser.stored("settings")["autoComplete"] is False


def test_so_does_the_saved_script(browser: BrowserPage) -> None:
    browser.type(":config autoComplete: true")
    browser.until_stored("settings", '"autoComplete":true')
    browser.favourite(SET_UP, "3 only results")
    browser.until_stored("settings", '"autoComplete":false')


def test_the_password_is_neither_in_the_address_nor_on_the_page(
    browser: BrowserPage, neo4j_server: Server
) -> None:
    password = neo4j_server.address.password
    assert password not in browser.page.url
    assert password not in browser.page.content()
    assert not [line for line in browser.console if password in line]
