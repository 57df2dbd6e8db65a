"""A workspace in the browser: who may ask, what is answered, what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from circuitgraph import Workspace
from circuitgraph.explore.app import create_app

TOKEN = "a-secret"
HOST = {"Host": "127.0.0.1:4321"}


@pytest.fixture(scope="module")
def client(trio: Path) -> Any:
    return create_app(Workspace(trio), TOKEN).test_client()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", HOST),
        ("/?token=wrong", HOST),
        (f"/?token={TOKEN}", {"Host": "evil.example:4321"}),
        (f"/?token={TOKEN}", HOST | {"Origin": "http://evil.example"}),
        (f"/?token={TOKEN}", HOST | {"Origin": "http://localhost:4321"}),
    ],
)
def test_others_are_refused(client: Any, path: str, headers: dict[str, str]) -> None:
    answer = client.get(path, headers=headers)
    assert answer.status_code == 403
    assert TOKEN not in answer.text


def test_a_pair_is_the_page_of_its_diff(client: Any) -> None:
    start = client.get(f"/?token={TOKEN}", headers=HOST)
    names = re.findall(r'<option value="([^"]+)" ', start.text)
    assert start.status_code == 200
    assert start.headers["Cache-Control"] == "no-store"
    a, b = list(dict.fromkeys(names))[:2]
    page = client.get(f"/?token={TOKEN}&a={a}&b={b}&lens=correlation", headers=HOST)
    assert page.status_code == 200
    assert f"{a} → {b} (correlation lens" in page.text
    assert "connect-src 'self'" in page.text
    wrong = client.get(f"/?token={TOKEN}&a={a}&b=nobody", headers=HOST)
    assert wrong.status_code == 400
    assert "nobody" in wrong.text


def test_recipes_are_offered_beside_variants(client: Any) -> None:
    address = f"/?token={TOKEN}&a=base&b=utilitarian&lens=correlation"
    for scope, status in (("checkpoint", 200), ("recipe", 200)):
        page = client.get(f"{address}&scope={scope}", headers=HOST)
        assert page.status_code == status
        groups = re.findall(r'<optgroup label="(\w+).*?</optgroup>', page.text, re.DOTALL)
        assert groups == ["Variants", "Recipes"] * 2
        (_, chosen) = re.findall(r'<option value="(\w+)" data-scope="\w+" selected>', page.text)
        assert chosen == "utilitarian"
        assert f'value="utilitarian" data-scope="{scope}" selected' in page.text
    assert "cannot tell" in page.text  # one seed is no recipe


def test_cypher_reads_and_never_writes(client: Any) -> None:
    headers = HOST | {"X-Token": TOKEN}

    def asked(text: object) -> Any:
        return client.post("/cypher", json={"text": text}, headers=headers)

    found = asked("MATCH (v:Variant) RETURN v.name AS name ORDER BY v.name").get_json()
    assert found["columns"] == ["name"]
    assert found["total"] == len(found["rows"]) == 3
    refused = asked("MATCH (v:Variant) DETACH DELETE v")
    assert refused.status_code == 400
    assert refused.get_json()["error"]
    assert asked("MATCH (v:Variant) RETURN count(v) AS n").get_json()["rows"] == [[3]]
    assert asked("nonsense").status_code == 400
    assert asked(None).status_code == 400
    assert client.post("/cypher", json={"text": "x"}, headers=HOST).status_code == 403
