"""A real Neo4j server for the tests, started once a session, and stores on it.

With Java and Maven it is assembled by ``docker/neo4j-local.sh``; its jars are kept in
``$CIRCUITGRAPH_CACHE``, by default ``~/.cache/circuitgraph-tests``. Without them
``NEO4J_URI`` names a server with an empty database, which the tests fill and empty.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from filelock import FileLock

from circuitgraph.base.errors import CircuitGraphError, StoreUnreachable
from circuitgraph.store import EmbeddedStore, Store
from circuitgraph.store.address import Address
from circuitgraph.store.neo4j import Neo4jStore

SCRIPT = Path(__file__).parents[1] / "docker" / "neo4j-local.sh"
FOR_BROWSER = SCRIPT.parent / "browser" / "neo4j.conf"
STORES = ["embedded", pytest.param("neo4j", marks=pytest.mark.neo4j)]
PATIENCE = 600
"""Seconds a server may take on a machine that does other things too."""

_SMALL = {
    "NEO4J_HEAP": "384m",
    "NEO4J_PAGECACHE": "128m",
    "NEO4J_START_SECONDS": str(PATIENCE),
    "NEO4J_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1",  # sooner warm, never as fast
}


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes
    ----------
    address : Address
        How to reach it.
    home : Path or None
        Its folder; None where somebody else runs it.
    settings : dict
        Environment of the script that runs it.
    """

    address: Address
    home: Path | None = None
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Environment of a process that uses it by ``--store neo4j``."""
        mine = {
            "NEO4J_URI": self.address.uri,
            "NEO4J_USERNAME": self.address.user,
            "NEO4J_PASSWORD": self.address.password,
        }
        return {**_outside(), **mine}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the script; its output is in the result."""
        if self.home is None:
            pytest.skip("the server of NEO4J_URI is not ours to stop")
        return subprocess.run(
            [SCRIPT, *words],
            env={**_outside(), **self.settings},
            check=True,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
        )

    def store(self) -> Neo4jStore:
        """A store on it; a busy machine lets a server that has just started answer late."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return Neo4jStore(self.address)
            except StoreUnreachable:
                if time.monotonic() > end:
                    raise

    def elsewhere(self, home: Path) -> Server:
        """A server of the same jars that has not been started yet."""
        if self.home is None:
            pytest.skip("the server of NEO4J_URI tells nothing of its jars")
        return replace(self, home=home, settings={**self.settings, "NEO4J_LOCAL_HOME": str(home)})

    @contextlib.contextmanager
    def running(self) -> Iterator[Address]:
        """Its address, while it runs."""
        self.run("start")
        try:
            yield replace(self.address, uri=_uri(self.home))
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self.home is None:
            pytest.skip("the server of NEO4J_URI is not ours to kill")
        pid = int((self.home / "run" / "server.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        while not _gone(pid):
            time.sleep(0.02)


def _gone(pid: int) -> bool:
    """Whether every thread has ended: memory goes first, ports and file locks a little later."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state in "ZX" and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return True


def _outside() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("NEO4J_")}


def clear(store: Neo4jStore) -> None:
    """Remove everything, a little at a time: the server's memory is small."""
    for pattern, removal in (("()-[x]->()", "DELETE x"), ("(x)", "DETACH DELETE x")):
        cypher = f"MATCH {pattern} WITH x LIMIT 10000 {removal} RETURN count(x) AS n"
        while store.query(cypher, read_only=False)["n"].iloc[0]:
            pass


@pytest.fixture(scope="session")
def neo4j_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of this session; skips where there can be none."""
    lacking = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if lacking:
        server = _given(f"a Neo4j server needs {' and '.join(lacking)}, or NEO4J_URI")
        yield server
        with Neo4jStore(server.address) as store:
            clear(store)
        return
    server = _started(tmp_path_factory.mktemp("neo4j"))
    yield server
    server.kill()  # nothing of it is kept


def _given(reason: str) -> Server:
    if "NEO4J_URI" not in os.environ:
        pytest.skip(reason)
    try:
        server = Server(Address.from_environment("neo4j"))
        with Neo4jStore(server.address) as store:
            if len(store.query("MATCH (n) RETURN 1 AS one LIMIT 1")):
                pytest.skip("the database of NEO4J_URI is not empty; the tests empty it")
    except CircuitGraphError as error:
        pytest.skip(f"{reason}; and {error}")
    return server


def _started(home: Path) -> Server:
    cache = Path(os.environ.get("CIRCUITGRAPH_CACHE", "~/.cache/circuitgraph-tests")).expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    password = f"sentinel-{secrets.token_hex(12)}"
    given = home / "given-password"
    given.touch(mode=0o600)
    given.write_text(password)
    (home / "conf").mkdir()
    shutil.copy(FOR_BROWSER, home / "conf" / "extra.conf")  # now: a restart costs seconds
    settings = {
        **_SMALL,
        "NEO4J_LOCAL_HOME": str(home),
        "NEO4J_LOCAL_LIB": str(cache / "neo4j-lib"),
        "NEO4J_PASSWORD_FILE": str(given),
    }
    with FileLock(cache / "neo4j-lib.lock"):
        _script("install", settings)
    _script("start", settings)
    return Server(Address(_uri(home), "neo4j", password), home, settings)


def _uri(home: Path | None) -> str:
    assert home
    return f"bolt://127.0.0.1:{(home / 'conf' / 'ports').read_text().split()[0]}"


def _script(word: str, settings: dict[str, str]) -> None:
    done = subprocess.run(
        [SCRIPT, word], env={**_outside(), **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def neo4j_store(neo4j_server: Server) -> Iterator[Neo4jStore]:
    """An empty graph on the server; whoever needs the next one empties it."""
    with neo4j_server.store() as store:
        clear(store)
        yield store


@pytest.fixture(scope="module", params=STORES)
def any_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """An empty store of each kind, for a whole module."""
    if request.param == "embedded":
        with EmbeddedStore(tmp_path_factory.mktemp("graph") / "graph.lbug") as store:
            yield store
        return
    with Neo4jStore(request.getfixturevalue("neo4j_server").address) as server:
        clear(server)
        yield server
