"""Names are data: whatever they contain, they come back as they went in, and break nothing."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from shell import Answer, cli, done, rows

NAMES = {
    "quotes": "it's \"quoted\" and 'so on'",
    "backticks": "`L0H0`]->(n) DETACH DELETE n //",
    "escapes": "a\\b\\n\\u0041\\",
    "cypher": "$name {x: 1} ' OR 1=1 --",
    "lines": "first\nsecond\r\nthird\rfourth\tfifth",
    "terminal": "\x1b[31mred\x1b[0m\x07\x08",
    "sided": "\u202eright to left\u202c \u200fmark \u200bzero",
    "html": "<script>alert(1)</script> & \"<b onload='x'>",
    "missing": "NA",
    "spaces": "  both ends  ",
    "combining": "e\u0301 is not \u00e9, \U0001f9e0",
    "formula": "=1+1,;|",
    "path": "../../etc/passwd\\..\\x:y,z",
    "option": "--debug",
    "long": "x" * 64_999 + "y",
}
WORST = {key: NAMES[key] for key in ("quotes", "lines", "terminal", "sided", "html", "long")}
XML_TELLS_APART = [key for key in NAMES if key not in ("lines", "terminal")]


def table(seed: int) -> pd.DataFrame:
    """Thirty prompts in two scenarios, all names hostile; the seed rewires one pair."""
    random = np.random.default_rng(7)
    values = random.normal(size=(60, len(NAMES)))
    if seed:
        values[:, 1] = values[:, 0] + 0.1 * random.normal(size=60)
    frame = pd.DataFrame(values, columns=[f"c {name}" for name in NAMES.values()])
    prompts = [f"p{i} {list(NAMES.values())[i % len(NAMES)]}" for i in range(60)]
    frame.insert(0, "prompt_id", prompts)
    frame.insert(1, "scenario", [NAMES["lines"] if i % 2 else NAMES["quotes"] for i in range(60)])
    return frame


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One variant a name, two of them rewired."""
    folder = tmp_path_factory.mktemp("hostile")
    for i in (0, 1):
        table(i).to_parquet(folder / f"{i}.parquet")
    table(0).to_csv(folder / "0.csv", index=False, quoting=csv.QUOTE_NONNUMERIC)
    for i, name in enumerate(NAMES.values()):
        file = folder / ("0.csv" if i == 2 else f"{i % 2}.parquet")
        done("ingest-table", file, f"--name={name}", f"--recipe={name}", "-w", folder / "w")
    return folder / "w"


def one_line(answer: Answer) -> str:
    line = answer.complaint
    assert line.isprintable()
    return line


def test_variants_come_back_verbatim(hostile: Path) -> None:
    found = rows("variants", "-w", hostile)
    assert [row["name"] for row in found] == list(NAMES.values())
    assert [row["recipe"] for row in found] == list(NAMES.values())
    asked = rows("query", "variants", "-w", hostile)
    assert {row["variant"] for row in asked} == set(NAMES.values())


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.some(4)
def test_a_variant_is_found_by_its_name(hostile: Path, name: str) -> None:
    found = rows("edges", "-w", hostile, "--", name)
    assert len(found) == 105
    components = {row["source"] for row in found} | {row["target"] for row in found}
    assert components == {f"c {other}" for other in NAMES.values()}
    [row] = rows(
        "query", "strongest-edges", f"--param=run={name}", "--param=limit=1", "-w", hostile
    )
    assert row["variant"] == name
    text = "MATCH (v:Variant) WHERE v.name = $name RETURN v.name AS name"
    assert rows("cypher", text, f"--param=name={name}", "-w", hostile) == [{"name": name}]


def test_csv_and_parquet_keep_names(hostile: Path, tmp_path: Path) -> None:
    asked = ("edges", NAMES["quotes"], "-w", hostile, "-q")
    expected = [(row["source"], row["target"]) for row in rows(*asked)]
    done(*asked, "-o", tmp_path / "e.parquet")
    frame = pd.read_parquet(tmp_path / "e.parquet")
    assert list(zip(frame["source"], frame["target"], strict=True)) == expected
    done(*asked, "-o", tmp_path / "e.csv")
    frame = pd.read_csv(tmp_path / "e.csv", keep_default_na=False)
    assert list(zip(frame["source"], frame["target"], strict=True)) == expected
    csv.field_size_limit(1 << 20)
    read = csv.DictReader(io.StringIO(done(*asked, "--format", "csv").out, newline=""))
    assert [(row["source"], row["target"]) for row in read] == expected


def test_prompts_and_scenarios_come_back_verbatim(hostile: Path) -> None:
    ends = (f"c {NAMES['quotes']}", f"c {NAMES['backticks']}")
    found = rows("explain", *ends, NAMES["quotes"], NAMES["lines"], "-w", hostile)
    assert {row["prompt"] for row in found} == set(table(0)["prompt_id"])
    assert {row["scenario"] for row in found} == {NAMES["quotes"], NAMES["lines"]}


@pytest.mark.parametrize("name", WORST.values(), ids=WORST)
@pytest.mark.some(2)
def test_tables_for_reading_stay_tables(hostile: Path, name: str) -> None:
    ends = (f"c {NAMES['html']}", f"c {NAMES['long']}")
    for words in (
        ("diff", "-w", hostile, "--", NAMES["quotes"], name),
        ("edges", "-w", hostile, "--", name),
        ("hubs", "-w", hostile, "--", name),
        ("explain", "-w", hostile, "--", *ends, NAMES["quotes"], name),
        ("compare", "-w", hostile, "--", NAMES["quotes"], name),
    ):
        answer = cli(*words)
        assert answer.code == 0, answer.err
        for line in [*answer.out.splitlines(), *answer.err.splitlines()]:
            assert line.isprintable()
            assert len(line) < 1200
        if words[0] != "explain":  # sentences stay whole in a pipe
            assert all(len(line) <= 120 for line in answer.out.splitlines()), words[0]
        assert len(answer.out.splitlines()) < 100, words[0]


def test_a_diff_claims_the_one_edge_that_changed(hostile: Path) -> None:
    found = rows("diff", NAMES["quotes"], NAMES["backticks"], "-w", hostile)
    ends = {f"c {NAMES['quotes']}", f"c {NAMES['backticks']}"}
    claimed = [row for row in found if row["verdict"] in ("rewired", "gained", "sign_flip", "lost")]
    assert [{row["source"], row["target"]} for row in claimed] == [ends]
    asked = rows("query", "rewired", "-w", hostile)
    assert [{row["source"], row["target"]} for row in asked] == [ends]
    assert [(row["a"], row["b"]) for row in asked] == [(NAMES["quotes"], NAMES["backticks"])]


@pytest.mark.parametrize("name", WORST.values(), ids=WORST)
@pytest.mark.some(2)
def test_errors_stay_one_short_line(hostile: Path, tmp_path: Path, name: str) -> None:
    unknown = f"{name} {name}"
    for words in (
        ("edges", "-w", hostile, "--", unknown),
        ("diff", "-w", hostile, "--", name, unknown),
        ("diff", "-w", hostile, "--scope=recipe", "--", unknown, name),
        ("diff", "-w", hostile, f"--null={unknown}", "--", name, name),
        ("diff", "-w", hostile, f"--lens={unknown}", "--", name, name),
        ("diff", "-w", hostile, f"--run={unknown}", "--", name, name),
        ("diff", "-w", hostile, f"-o{unknown}", "--", name, name),
        ("explain", "-w", hostile, "--", unknown, "x", name, name),
        ("query", "-w", hostile, "--", unknown),
        ("query", "hubs", "-w", hostile, f"--param={unknown}=1"),
        ("query", "hubs", "-w", hostile, f"--param=run={unknown}"),
        ("cypher", "-w", hostile, "--", unknown),
        ("remove", "-w", hostile, "--", unknown),
        ("export", "-w", hostile, "--format=csv", f"-o{tmp_path}/x", "--", unknown),
        ("ingest-table", "-w", hostile, "--name=x", "--", unknown),
        ("ingest-table", "-w", hostile, f"--name={name}", "--", hostile.parent / "absent.csv"),
        ("--", unknown),
    ):
        answer = cli(*words)
        assert answer.code in (1, 2), words[0]
        assert len(one_line(answer)) < 1100
    # The same name for another table: which of the two is meant would be anybody's guess.
    other = "1.parquet" if list(NAMES.values()).index(name) % 2 == 0 else "0.parquet"
    words = ("ingest-table", hostile.parent / other, f"--name={name}", "-w", hostile)
    assert "remove" in one_line(cli(*words))


def exported(hostile: Path, tmp_path: Path, format_: str) -> Path:
    tmp_path.mkdir(exist_ok=True)
    done("export", NAMES["long"], "--format", format_, "-o", tmp_path / "out", "-w", hostile)
    return tmp_path / "out"


def test_json_and_csv_exports_keep_names(hostile: Path, tmp_path: Path) -> None:
    components = {f"c {name}" for name in NAMES.values()}
    document = exported(hostile, tmp_path / "cx2", "cx2")
    nodes = [part["nodes"] for part in json.loads(document.read_text("utf-8")) if "nodes" in part]
    assert {node["v"]["name"] for node in nodes[0]} == components
    folder = exported(hostile, tmp_path / "csv", "csv")
    frame = pd.read_csv(folder / "nodes.csv", keep_default_na=False)
    assert set(frame["Label"]) == components


@pytest.mark.parametrize("format_", ["graphml", "gexf"])
def test_xml_exports_keep_every_name_xml_can_hold(
    hostile: Path, tmp_path: Path, format_: str
) -> None:
    file = exported(hostile, tmp_path, format_)
    read = nx.read_graphml if format_ == "graphml" else nx.read_gexf
    graph = read(file)
    names = {data.get("name", data.get("label")) for _, data in graph.nodes(data=True)}
    assert len(names) == len(NAMES)
    assert names >= {f"c {NAMES[key]}" for key in XML_TELLS_APART}


def test_exports_of_all_variants_stay_in_their_folder(hostile: Path, tmp_path: Path) -> None:
    words = ("export", "--format", "gexf", "-o", tmp_path / "all", "-w", hostile, "--")
    told = done(*words, *NAMES.values()).out.splitlines()
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(made) == len(told) == len(NAMES)
    assert all(path.parent == tmp_path / "all" for path in made)


class Tags(HTMLParser):
    """All tags and attributes of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def hash_of(script: str) -> str:
    """As the page's policy names a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


@pytest.mark.parametrize("name", WORST.values(), ids=WORST)
@pytest.mark.some(2)
def test_a_page_shows_names_and_runs_nothing(hostile: Path, tmp_path: Path, name: str) -> None:
    words = ("report", "-o", tmp_path / "r.html", "-w", hostile, f"--null={name}:{name}", "--")
    done(*words, NAMES["html"], name)
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "default-src 'none'" in page
    own = [*re.findall(r"<script>(.*?)</script>", page, re.S)]  # the policy lets no other run
    assert all(hash_of(script) in page for script in own)
    for script in own:
        page = page.replace(f"<script>{script}</script>", "")
    page, data = re.subn(r'<script type="application/json" id="data">.*?</script>', "", page)
    assert data == 1
    assert len(page) < 60_000
    seen = Tags()
    seen.feed(page)
    assert not seen.tags & {"script", "b", "iframe", "img", "link", "object"}
    assert not any(attribute.startswith("on") for attribute in seen.attributes)
    assert "<script>alert(1)</script>" in seen.text
    assert "\x1b" not in page
    assert "\u202e" not in page


@pytest.mark.thorough
def test_removing_one_leaves_the_others(hostile: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    for name in WORST.values():
        done("ingest-table", hostile.parent / "0.parquet", f"--name={name}", "-w", workspace)
    for key in ("long", "lines", "quotes"):
        done("remove", "-w", workspace, "--", NAMES[key])
    left = [name for key, name in WORST.items() if key not in ("long", "lines", "quotes")]
    assert [row["name"] for row in rows("variants", "-w", workspace)] == left
    asked = rows("query", "variants", "-w", workspace)
    assert sorted(row["variant"] for row in asked) == sorted(left)
    again = f"--name={NAMES['long']}"
    done("ingest-table", hostile.parent / "1.parquet", again, "-w", workspace)
