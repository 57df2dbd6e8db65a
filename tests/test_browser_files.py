"""The files Neo4j Browser imports: up to date, self-contained, small enough to draw."""

from __future__ import annotations

import json
import re
import zipfile

import pytest
from browser_scripts import saved_queries

from circuitgraph.queries import list_queries
from circuitgraph.queries.naming import PHRASES
from circuitgraph.store.columns import NODES, RELATIONSHIPS
from circuitgraph.store.protocol import parameter_names

SCRIPTS = dict(saved_queries.scripts())
QUERIES = {path: text for path, text in SCRIPTS.items() if "set up" not in path}


def test_the_archive_is_what_its_script_makes() -> None:
    with zipfile.ZipFile(saved_queries.ARCHIVE) as archive:
        kept = {name: archive.read(name).decode("utf-8") for name in archive.namelist()}
    assert kept == SCRIPTS, "run python docker/browser/saved_queries.py"
    assert list(kept) == list(SCRIPTS)


def test_every_named_query_is_saved_under_its_name() -> None:
    titles = [text.split(":")[0] for path, text in SCRIPTS.items() if "3 ask" in path]
    assert titles == [f"// {query.name}" for query in list_queries()]


@pytest.mark.parametrize("path", QUERIES)
def test_a_saved_query_needs_no_parameter_that_the_set_up_does_not_give(path: str) -> None:
    given = set(map(saved_queries.browser_parameter, PHRASES))
    text = QUERIES[path]
    assert set(parameter_names(text)) <= given
    assert text.startswith("// ")
    assert ";" not in re.sub(r"^//.*$", "", text, flags=re.M)  # Browser would split it there


def test_the_set_up_gives_a_parameter_for_every_default_that_is_looked_up() -> None:
    text = SCRIPTS["circuitgraph 1 set up/2-parameters.cypher"]
    named = ", ".join(re.findall(r"^:param \[\{([a-z_, ]+)\}\] => \{ .+ \};$", text, flags=re.M))
    assert set(named.split(", ")) == set(map(saved_queries.browser_parameter, PHRASES))


@pytest.mark.parametrize("query", saved_queries.drawing_queries(), ids=lambda query: query.name)
def test_a_drawing_returns_no_more_than_browser_draws(query: saved_queries.NamedQuery) -> None:
    limits = [p.default for p in query.parameters if p.name == "limit"]
    assert limits[0] <= 300
    assert re.search(r"\nORDER BY [^\n]+\nLIMIT \$limit\n$", query.cypher("neo4j"))


def test_the_style_knows_every_label_and_type_and_tells_edges_apart() -> None:
    rules = json.loads(saved_queries.style_script().split(":style ")[1])
    assert {f"node.{label}" for label in NODES} <= set(rules)
    assert {f"relationship.{kind}" for kind in RELATIONSHIPS} <= set(rules)
    between = ("REWIRED", "AFFECTS", "CORRELATES", "COMPOSES", "TRANSFERS")
    assert len({rules[f"relationship.{kind}"]["color"] for kind in between}) == len(between)
    assert all(rules[f"node.{label}"]["caption"] == "{name}" for label in NODES)


def test_the_labels_that_colour_layers_are_styled_and_taken_away_again() -> None:
    added = set(re.findall(r"SET c:(\w+)", SCRIPTS["circuitgraph 1 set up/4-colour-layers.cypher"]))
    removed = SCRIPTS["circuitgraph 1 set up/5-uncolour-layers.cypher"].split("REMOVE c:")[1]
    styled = {label for label in added if f'"node.{label}"' in saved_queries.style_script()}
    assert added == set(removed.strip().split(":"))
    assert added - styled == {"Head", "Attention"}  # these look as any component does
    assert not added & set(NODES)
