"""What may be asked in Cypher: questions pass as they are, everything else is refused."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
import store_graphs as planted
from hypothesis import given, settings
from hypothesis import strategies as st
from shell import ROOT

from circuitgraph.base.errors import UsageError
from circuitgraph.queries import list_queries
from circuitgraph.store import Store
from circuitgraph.store.statements import parameter_names, reading, tokens

WRITES = (
    "CREATE (v:Variant {id: 'x'})",
    "MERGE (v:Variant {id: 'x'})",
    "INSERT (:Variant {id: 'x'})",
    "MATCH (v:Variant) SET v.recipe = 'x'",
    "MATCH (v:Variant) SET v:Other",
    "MATCH (v:Variant) REMOVE v.recipe",
    "MATCH (v:Variant) DETACH DELETE v",
    "MATCH (v:Variant) NODETACH DELETE v",
    "MATCH (v:Variant) DELETE v RETURN 1 AS one",
    "MATCH (v:Variant) WITH v CREATE (w:Variant {id: v.id + 'x'}) RETURN w",
    "UNWIND [1] AS x MERGE (v:Variant {id: 'x'})",
    "MATCH (v:Variant) FOREACH (x IN [1] | SET v.recipe = 'x')",
    "MATCH (v:Variant) CALL { WITH v SET v.recipe = 'x' } RETURN v",
    "MATCH (v:Variant) CALL (v) { SET v.recipe = 'x' } RETURN v",
    "UNWIND [1] AS x CALL { CREATE (v:Variant) } IN TRANSACTIONS OF 1 ROWS",
    "MATCH (v) RETURN v UNION MATCH (v) SET v.recipe = 'x' RETURN v",
    "MATCH (v:Variant) WHERE v.n > 1.SET v.recipe = 'x'",
    "WITH 1 AS AS LOAD FROM '/etc/passwd' RETURN *",
    "WITH 1 AS AS LOAD CSV FROM 'http://localhost/' AS row RETURN row",
    "WITH 1 AS AS CALL apoc.load.json('http://localhost/') YIELD value RETURN value",
    "MATCH (v:Variant) WITH v AS AS SET AS.recipe = 'x'",
    "MATCH (v:Variant) WITH v AS as WHERE as.recipe = '' SET as.recipe = 'x'",
    "MATCH (v:Variant) WITH v, true AS as WHERE as SET v.recipe = 'x'",
    "MATCH (v:Variant) WHERE v.as SET v.recipe = 'x'",
    "UNWIND [1] AS as LOAD FROM '/etc/passwd' RETURN *",
    "MATCH (v:Variant) WHERE v.n > 1. CALL apoc.load.json('x') YIELD value RETURN value",
    "MATCH (v:Variant) WHERE v.n > 1e5.SET v.recipe = 'x'",
    "MATCH (v:Variant) WHERE v.n > $1SET v.recipe = 'x'",
    "RETURN 0o7CREATE (v:Variant {id: 'x'})",
    "RETURN 1CREATE (v:Variant {id: 'x'})",
    "RETURN 1e5CREATE (v:Variant {id: 'x'})",
    "RETURN 'a'CREATE (v:Variant {id: 'x'})",
    "RETURN 1 AS x; CREATE (v:Variant {id: 'x'})",
    "MATCH (n) RETURN n;;MATCH (n) DETACH DELETE n",
    r"\u0043REATE (v:Variant {id: 'x'})",
    r"RETURN '\u0027 CREATE (v:Variant) //'",
    "MATCH (v:Variant) \u017fET v.recipe = 'x'",
    "COPY (MATCH (n) RETURN n.name) TO 'x.csv'",
    "COPY Variant FROM 'x.csv'",
    "LOAD FROM '/etc/passwd' RETURN *",
    "MATCH (n) LOAD FROM '/etc/passwd' (header=false) RETURN *",
    "LOAD CSV FROM 'file:///x.csv' AS row RETURN row",
    "WITH 1 AS x LOAD CSV FROM 'http://localhost/' AS row RETURN row",
    "LOAD EXTENSION json",
    "EXPORT DATABASE 'x'",
    "IMPORT DATABASE 'x'",
    "INSTALL json",
    "UNINSTALL json",
    "FORCE INSTALL json",
    "ATTACH 'x.db' AS x (dbtype duckdb)",
    "DETACH x",
    "USE x",
    "USE x MATCH (n) RETURN n",
    "MATCH (n) CALL { USE x RETURN 1 AS one } RETURN n",
    "CHECKPOINT",
    "ANALYZE",
    "BEGIN TRANSACTION",
    "COMMIT",
    "ROLLBACK",
    "CREATE NODE TABLE X(id STRING, PRIMARY KEY(id))",
    "ALTER TABLE Variant ADD x STRING",
    "DROP TABLE Variant",
    "COMMENT ON TABLE Variant IS 'x'",
    "CREATE MACRO f(x) AS x + 1",
    "CALL threads = 2",
    "CALL show_tables = 2",
    "CALL clear_warnings()",
    "CALL project_graph('g', ['Variant'], ['OF'])",
    "CALL `project_graph`('g', ['Variant'], ['OF']) RETURN *",
    "RETURN nextval('x')",
    "RETURN `nextval`('x')",
    "CALL dbms.setConfigValue('x', 'y')",
    "CALL dbms.killQuery('x')",
    "CALL db.createLabel('x')",
    "CALL db.clearQueryCaches()",
    "CALL db . createLabel ('x')",
    "CALL `db`.`createLabel`('x')",
    "CALL tx.setMetaData({x: 1})",
    "CALL apoc.load.json('http://localhost/')",
    "MATCH (n) CALL apoc.export.csv.all('x', {}) YIELD file RETURN file",
    "OPTIONAL CALL apoc.util.sleep(10)",
    "RETURN apoc.util.md5(['x'])",
    "RETURN genai . vector . encode('x', 'y')",
    "SHOW TRANSACTIONS YIELD transactionId AS x TERMINATE TRANSACTIONS x",
    "TERMINATE TRANSACTIONS 'x'",
    "SHOW SETTINGS",
    "GRANT ROLE x TO y",
    "START DATABASE x",
    "EXPLAIN CREATE (v:Variant {id: 'x'})",
    "PROFILE MATCH (v:Variant) SET v.recipe = 'x'",
    "USING PERIODIC COMMIT 100 LOAD CSV FROM 'x' AS row CREATE (n)",
    "DRYRUN MATCH (n) RETURN n",
    "ALTER CURRENT USER SET PASSWORD FROM 'x' TO 'y'",
    "",
    "// nothing",
    "RETURN 'open",
    "RETURN `open",
    "RETURN 1 /* open",
)
READS = (
    "MATCH (n) RETURN n",
    "match (n) return n;",
    "OPTIONAL MATCH (n) RETURN n",
    "UNWIND $rows AS row RETURN row",
    "WITH 1 AS x RETURN x",
    "MATCH (n:Create)-[r:SET|`LOAD`]->(m:`DELETE`) RETURN n.set, r.merge, m.`create`",
    "MATCH (n {set: 1, delete: $load}) RETURN {create: n.create, use: 1} AS copy",
    "MATCH (v) WHERE v.name = 'CREATE (n)' AND v.x <> \"DELETE '\" RETURN v // MERGE\n",
    "MATCH (v) /* CREATE ' */ RETURN v.id AS load",
    "MATCH (n) WHERE EXISTS { MATCH (n)-->(m) } RETURN COUNT { MATCH (n)-->(m) } AS n",
    "MATCH (n) CALL { MATCH (m) RETURN m } RETURN n, m",
    "MATCH (n) CALL (n) { MATCH (m) RETURN m } RETURN n, m",
    "MATCH p = (start)-[*1..3]->(end) RETURN length(p), 1.5e3, 0x1F, point.distance(a, b)",
    "MATCH (v) WHERE v.x > $load AND v.y < $1 RETURN v.as AS create, v.x AS `set` LIMIT 3",
    "CALL { MATCH (v) RETURN v.as AS set } RETURN 1.5, 1.e5, [1, 2][0].set, 1 AS call",
    "CALL show_tables() RETURN *",
    "CALL table_info('Run') RETURN name",
    "CALL db.labels()",
    "CALL db.labels() YIELD label RETURN label",
    "CALL db.schema.visualization",
    "SHOW INDEXES YIELD name RETURN name",
    "SHOW CONSTRAINTS",
    "EXPLAIN MATCH (n) RETURN n",
    "PROFILE MATCH (n) RETURN n",
    "RETURN date.truncate('day', date()) AS day, [x IN [1, 2] WHERE x > 1 | x * 2] AS l",
)


@pytest.mark.parametrize("cypher", WRITES)
def test_what_is_no_question_is_refused(cypher: str) -> None:
    with pytest.raises(UsageError) as caught:
        reading(cypher)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cypher", READS)
def test_questions_pass_as_they_are(cypher: str) -> None:
    assert reading(cypher).split() == re.sub(r"//.*|/\*.*?\*/", " ", cypher).split()
    assert "".join(token.text for token in tokens(cypher)) == cypher


def test_no_comment_reaches_a_database() -> None:
    """ladybug takes ``/***/ ' /* */`` for one comment, so that a text of ours is its code."""
    asked = reading("RETURN 1 /***/ AS x, ' /* */ CREATE (v:Variant) //' AS y // z\n, 2 AS z")
    assert asked == "RETURN 1   AS x, ' /* */ CREATE (v:Variant) //' AS y  \n, 2 AS z"


def documented() -> list[str]:
    """Every Cypher statement of the named queries, the README and the docs."""
    found = [text for query in list_queries() for text in query.texts.values()]
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = Path(file).read_text("utf-8")
        found += re.findall(r"circuitgraph cypher '([^']+)'", text)
        found += re.findall(r"```cypher\n(.*?)```", text, re.DOTALL)
    return found


def test_all_cypher_that_is_shipped_passes() -> None:
    shipped = documented()
    assert len(shipped) > 35
    for cypher in shipped:
        assert parameter_names(reading(cypher)) == parameter_names(cypher)


BLANKS = st.sampled_from(
    [
        " ",
        "\n",
        "\t",
        "\r\n",
        " /* x */ ",
        " /**/ ",
        " // x\n",
        " /* ' */ ",
        ' // "\n',
        " /* ` */\n",
    ]
)


HIDING = (
    *("WITH 1 AS AS ", "WITH 1 AS `as` ", "UNWIND [1] AS as ", "MATCH (v) WITH v AS AS "),
    *(
        "MATCH (v) WHERE v.as ",
        "MATCH (as) WHERE as ",
        "MATCH (v) WITH v, true AS as WHERE NOT as ",
    ),
    *("MATCH (v) WITH v, 1 AS as WITH v, as ", "MATCH (v) WHERE v.x = $as ", "MATCH (as:as) "),
    *("WITH {as: 1} AS as ", "MATCH (v)-[as:as|as]->() ", "MATCH (v) WHERE v.n > 1.", "RETURN 1. "),
    *("MATCH (v) WHERE v.n > 1e5.", "MATCH (v) WHERE v.n = $1", "MATCH (v) WHERE 1 = v.as OR as "),
    *("MATCH (v {as: 1}) ", "WITH [1] AS x, x[0:1] AS as ", "MATCH (v:AS:as) ", "MATCH (v) "),
)
"""What reads and ends in what may look like the beginning of a name."""
CLAUSES = (
    *("SET v.recipe = 'x'", "SET as.recipe = 'x'", "DELETE v", "DETACH DELETE v", "MERGE (:N)"),
    *("CREATE (:Variant {id: 'x'})", "REMOVE v.recipe", "FOREACH (x IN [1] | DELETE v)"),
    *("LOAD FROM 'x.csv' RETURN *", "LOAD CSV FROM 'http://x/' AS row RETURN row", "USE x"),
    *("CALL apoc.load.json('x') YIELD value RETURN value", "CALL clear_warnings() RETURN *"),
)


@st.composite
def disguised(draw: st.DrawFn) -> str:
    """A statement that does more than read, in another case, with other blanks and comments."""
    # (a comment that is open would be closed by the one that may follow)
    whole = st.sampled_from([w for w in WRITES if w.strip() and not re.search("^//|/[*]", w)])
    hidden = st.tuples(st.sampled_from(HIDING), st.sampled_from(CLAUSES)).map("".join)
    cypher = draw(whole | hidden)
    pieces = []
    for token in tokens(cypher):
        if token.kind == "space":
            pieces.append(draw(BLANKS))
        elif token.kind == "word":
            high = draw(st.lists(st.booleans(), min_size=len(token.text), max_size=len(token.text)))
            cases = zip(token.text, high, strict=True)
            pieces.append("".join(c.upper() if up else c.lower() for c, up in cases))
        else:
            pieces.append(token.text)
    before = draw(st.sampled_from(["", " ", "// x\n", "/* MATCH */", "EXPLAIN ", "profile\n", ";"]))
    return before + "".join(pieces) + draw(st.sampled_from(["", ";", " ; ", " // x", "/* x */;"]))


@pytest.mark.parametrize("hiding", HIDING)
def test_no_name_hides_a_clause(hiding: str) -> None:
    for clause in CLAUSES:
        with pytest.raises(UsageError):
            reading(hiding + clause)


@settings(max_examples=400, deadline=None)
@given(disguised())
def test_no_disguise_makes_a_question_of_it(cypher: str) -> None:
    with pytest.raises(UsageError):
        reading(cypher)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_question_or_refused_in_words(cypher: str) -> None:
    with suppress(UsageError):
        assert isinstance(reading(cypher), str)


def test_a_refused_statement_leaves_a_store_as_it_was(any_store: Store, tmp_path: Path) -> None:
    any_store.write_all(planted.planted())
    before = any_store.read_all()
    for cypher in (*WRITES, f"COPY (MATCH (n) RETURN n.name) TO '{tmp_path}/x.csv'"):
        with pytest.raises(UsageError):
            any_store.query(cypher)
    assert planted.same(any_store.read_all(), before)
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_reserved_is_told_so(any_store: Store) -> None:
    backticks = "MATCH (`order`:Variant) RETURN count(`order`.name) AS n"
    assert len(any_store.query(backticks)) == 1
    if any_store.dialect == "neo4j":  # reserves nothing
        assert any_store.query(backticks.replace("`", "")).equals(any_store.query(backticks))
        return
    for cypher, word in (
        ("MATCH (order:Variant) RETURN order.name", "order"),
        ("MATCH (v:Variant)\nRETURN v.name AS\n  column", "column"),
        ("MATCH (a)-[All:OF]->(b) RETURN a.name", "All"),
    ):
        with pytest.raises(UsageError, match=f"{word} is a reserved word.*`{word}`"):
            any_store.query(cypher)
    with pytest.raises(UsageError) as caught:
        any_store.query("MATCH (v:Variant RETURN v")
    assert "`v`" not in str(caught.value)
