"""Reaching a server, or not: clear errors in time, and a password that appears nowhere."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from neo4j_server import Server
from shell import cli

from circuitgraph.base.errors import CircuitGraphError, InputError, StoreUnreachable, UsageError
from circuitgraph.store import open_store
from circuitgraph.store.address import Address
from circuitgraph.store.connection import connect

SECRET = "s3cret-of-nobody"
IN_TURN = """
import json, sys
from circuitgraph.cli import run
for words in json.loads(sys.argv[1]):
    print(words, run(words))
"""
KNOWN = {"NEO4J_PASSWORD": SECRET}


def circuitgraph(
    commands: list[list[str]], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Commands in a process of their own, whose environment and warnings are what matters."""
    return subprocess.run(
        [sys.executable, "-c", IN_TURN, json.dumps(commands)],
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def outside(**more: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("NEO4J_")} | more


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that accepts and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_usual_variables_are_read(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from a file\n")
    given = {"NEO4J_URI": "bolt+ssc://db.example:1234", "NEO4J_PASSWORD_FILE": str(file)}
    address = Address.from_environment("neo4j", {**given, "NEO4J_DATABASE": "graphs"})
    assert address == Address("bolt+ssc://db.example:1234", "neo4j", "from a file", "graphs")
    named = Address.from_environment("neo4j://other", {**KNOWN, "NEO4J_USERNAME": "me"})
    assert named == Address("neo4j://other", "me", SECRET, None)
    assert SECRET not in repr(named)


@pytest.mark.parametrize(
    "uri",
    [
        "neo4j://h:1",
        "bolt://h",
        "neo4j+s://h",
        "bolt+s://h",
        "neo4j+ssc://[::1]:7687",
        "bolt+ssc://h",
    ],
)
def test_every_scheme_goes_to_the_driver_as_it_is(uri: str) -> None:
    assert Address.from_environment(uri, KNOWN).uri == uri


@pytest.mark.parametrize("uri", [f"neo4j://me:{SECRET}@host:7687", f"bolt://{SECRET}@host"])
@pytest.mark.parametrize("where", ["option", "variable"])
def test_a_password_in_a_uri_is_refused_and_not_repeated(
    uri: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, environment = (uri, {}) if where == "option" else ("neo4j", {"NEO4J_URI": uri})
    with pytest.raises(UsageError, match="NEO4J_PASSWORD_FILE") as caught:
        Address.from_environment(store, environment)
    assert SECRET not in str(caught.value)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    answer = cli("--store", store, "--debug", "query", "runs", "-w", tmp_path)
    assert answer.code == 2
    assert SECRET not in answer.out + answer.err


@pytest.mark.parametrize(
    ("uri", "environment", "message"),
    [
        ("neo4j", KNOWN, "needs NEO4J_URI"),
        ("neo4j://", KNOWN, "write it as neo4j://host:7687"),
        ("neo4j://host:port", KNOWN, "write it as neo4j://host:7687"),
        ("neo4j://host", {}, "no password for Neo4j: set NEO4J_PASSWORD"),
    ],
)
def test_what_is_missing_is_named(
    uri: str, environment: dict, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match=message):
        Address.from_environment(uri, environment)


def test_a_password_file_that_is_not_there(tmp_path: Path) -> None:
    environment = {"NEO4J_PASSWORD_FILE": str(tmp_path / "none")}
    with pytest.raises(InputError, match="none: this password file cannot be read"):
        Address.from_environment("neo4j://host", environment)


@pytest.mark.parametrize("uri", ["http://host", "sqlite", f"http://{SECRET}@host"])
def test_other_stores_are_unknown(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(uri, tmp_path)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "port"),
    [
        ("bolt", "closed_port"),
        ("neo4j", "closed_port"),
        ("bolt+s", "closed_port"),
        ("neo4j", "silent_port"),
        ("neo4j+ssc", "silent_port"),
    ],
)
def test_a_dead_server_is_told_within_five_seconds(
    scheme: str, port: str, request: pytest.FixtureRequest
) -> None:
    uri = f"{scheme}://127.0.0.1:{request.getfixturevalue(port)}"
    start = time.perf_counter()
    with pytest.raises(StoreUnreachable, match=re.escape(uri)) as caught:
        connect(Address(uri, "neo4j", SECRET))
    assert time.perf_counter() - start < 5
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_dead_server_is_exit_code_4(
    closed_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", SECRET)
    uri = f"neo4j://127.0.0.1:{closed_port}"
    answer = cli("-w", tmp_path, "--store", uri, "query", "runs")
    assert answer.code == 4
    assert re.fullmatch(r"error: neo4j://127.* is the server started.*", answer.complaint)


@pytest.mark.neo4j
def test_what_a_server_refuses(neo4j_server: Server) -> None:
    uri, password = neo4j_server.address.uri, neo4j_server.address.password
    with pytest.raises(
        StoreUnreachable, match="refuses the user 'neo4j' or the password"
    ) as caught:
        connect(Address(uri, "neo4j", SECRET))
    assert SECRET not in repr(caught.value)
    with pytest.raises(StoreUnreachable, match="does not answer"):
        connect(Address(uri.replace("bolt", "bolt+s"), "neo4j", password))
    with pytest.raises(CircuitGraphError, match="set NEO4J_DATABASE to one that exists"):
        connect(Address(uri, "neo4j", password, "nowhere"))


@pytest.mark.neo4j
def test_a_terminal_is_asked_for_the_password(neo4j_server: Server, tmp_path: Path) -> None:
    command = ["-w", str(tmp_path), "--store", neo4j_server.address.uri, "query", "variants"]
    pid, terminal = pty.fork()
    if not pid:
        os.execve(sys.executable, [sys.executable, "-m", "circuitgraph.cli", *command], outside())
    shown = b""
    while b"Password of neo4j on Neo4j: " not in shown:
        shown += os.read(terminal, 1000)
    os.write(terminal, neo4j_server.address.password.encode() + b"\n")
    try:
        while some := os.read(terminal, 1000):
            shown += some
    except OSError:  # how a closed terminal ends on Linux
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"variant" in shown
    assert neo4j_server.address.password.encode() not in shown


@pytest.mark.neo4j
def test_the_password_appears_nowhere(neo4j_server: Server, tmp_path: Path) -> None:
    """Not in output, not in the server's logs and files, not in any process's arguments."""
    password = neo4j_server.address.password
    store = ("-w", str(tmp_path), "--store", "neo4j", "--debug")
    environment = {**neo4j_server.environment, "PYTHONWARNINGS": "always", "NEO4J_DEBUG": "1"}
    commands = [["query", "runs"], ["cypher", "MATSCH"], ["query", "nothing"], ["push"], ["pull"]]
    done = circuitgraph([[*store, *words] for words in commands], environment)
    said = done.stdout + done.stderr
    assert len(done.stdout.splitlines()) > len(commands)
    assert "Traceback" in said
    assert "MATSCH" in said
    assert password not in said
    if neo4j_server.home:
        holders = {
            file.relative_to(neo4j_server.home).as_posix()
            for file in neo4j_server.home.rglob("*")
            if file.is_file() and password.encode() in file.read_bytes()
        }
        assert holders == {"given-password", "conf/password"}
        assert (neo4j_server.home / "conf" / "password").stat().st_mode & 0o77 == 0
    commands = list(Path("/proc").glob("[0-9]*/cmdline"))
    assert not [file for file in commands if password.encode() in readable(file)]


def readable(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
