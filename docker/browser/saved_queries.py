"""Makes ``circuitgraph-browser.zip``, which Neo4j Browser imports when dropped on its page.

Run it after a change of the style, of a file beside it, or of a named query::

    python docker/browser/saved_queries.py

The named queries are those of ``circuitgraph query``. In Browser their literal defaults
stand in the text; defaults that are looked up are Browser parameters, which the script
``2 parameters`` sets.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from circuitgraph.queries import NamedQuery, Parameter, list_queries
from circuitgraph.queries.catalogue import parse_query
from circuitgraph.queries.naming import PHRASES

HERE = Path(__file__).parent
ARCHIVE = HERE / "circuitgraph-browser.zip"

_RULE = re.compile(r'([^{}]+)\{((?:"[^"]*"|[^"{}])*)\}')
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def scripts() -> Iterator[tuple[str, str]]:
    """Path in the archive and text of every script; folders become folders of Browser."""
    yield "circuitgraph 1 set up/1-style.cypher", style_script()
    for file in sorted((HERE / "setup").glob("*.cypher")):
        yield f"circuitgraph 1 set up/{file.name}", file.read_text("utf-8")
    for query in drawing_queries():
        yield f"circuitgraph 2 draw/{query.name}.cypher", browser_text(query)
    for query in list_queries():
        yield f"circuitgraph 3 ask/{query.name}.cypher", browser_text(query)


def drawing_queries() -> list[NamedQuery]:
    """The queries that return nodes and relationships: Browser draws nothing else."""
    files = sorted((HERE / "draw").glob("*.cypher"))
    return [parse_query(file.stem, {"": file.read_text("utf-8")}) for file in files]


def style_script() -> str:
    """The style sheet as one command.

    On one line of JSON: Browser ends a command at a semicolon, and GraSS is full of them.
    """
    rules = {
        selector.strip(): dict(_declarations(body))
        for selector, body in _RULE.findall((HERE / "circuitgraph.grass").read_text("utf-8"))
    }
    return f"// 1 style: claims red, layers light to dark\n:style {json.dumps(rules)}\n"


def _declarations(body: str) -> Iterator[tuple[str, str]]:
    for line in filter(None, map(str.strip, body.split(";"))):
        name, _, value = line.partition(":")
        yield name.strip(), value.strip().strip('"')


def browser_text(query: NamedQuery) -> str:
    """A named query as Browser runs it; its first line is the name it gets there."""
    lines = query.cypher("neo4j").splitlines()
    body = "\n".join(line for line in lines if not line.startswith("//"))
    for parameter in query.parameters:
        value = _value(parameter).replace("\\", r"\\")
        body = re.sub(rf"\${parameter.name}\b", value, body)
    header = [f"{query.name}: {query.summary}", *map(_described, query.parameters)]
    return "\n".join(f"// {line}" for line in header) + f"\n{body}\n"


def browser_parameter(phrase: str) -> str:
    """What Browser calls a default that is looked up: ``newest diff`` is ``diff``."""
    return re.sub(r"^(newest|strongest) ", "", phrase).replace(" ", "_")


def _value(parameter: Parameter) -> str:
    if parameter.default in PHRASES:
        return "$" + browser_parameter(str(parameter.default))
    if isinstance(parameter.default, str):
        return "'" + parameter.default.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(parameter.default)


def _described(parameter: Parameter) -> str:
    meaning = parameter.default if parameter.default in PHRASES else parameter.meaning
    return f"{_value(parameter)} {parameter.name}: {meaning}"


def main() -> None:
    made = list(scripts())
    with zipfile.ZipFile(ARCHIVE, "w") as archive:
        for path, text in made:
            entry = zipfile.ZipInfo(path, _LONG_AGO)
            archive.writestr(entry, text.encode("utf-8"), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
