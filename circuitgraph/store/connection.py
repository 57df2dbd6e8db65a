"""Address, credentials and errors of a Neo4j server.

The password comes from the environment, a file, or a hidden prompt. It is in no message,
no representation and no command line.
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import neo4j
from neo4j.exceptions import (
    AuthError,
    ClientError,
    ConfigurationError,
    DriverError,
    Neo4jError,
    TransientError,
)

from circuitgraph.base.errors import CircuitGraphError, InputError, StoreUnreachable, UsageError
from circuitgraph.base.quoting import quoted

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")

_CONNECT_SECONDS = 4.0
_RETRY_SECONDS = 15.0
_OLDEST = 5


@dataclass(frozen=True)
class Address:
    """A database on a server, and the credentials for it.

    Attributes
    ----------
    uri : str
        With one of :data:`SCHEMES`; the encrypted ones go to the driver as they are.
    user, password : str
        No authentication where the password is empty.
    database : str or None
        None for the user's home database.
    """

    uri: str
    user: str
    password: str = field(repr=False)
    database: str | None = None

    @classmethod
    def from_environment(cls, uri: str, environment: Mapping[str, str] | None = None) -> Address:
        """Address from a ``--store`` value and the environment.

        Parameters
        ----------
        uri : str
            ``neo4j://host:port`` or alike; ``neo4j`` alone stands for ``NEO4J_URI``.
        environment : mapping, optional
            Read for ``NEO4J_URI``, ``NEO4J_USERNAME``, ``NEO4J_PASSWORD``,
            ``NEO4J_PASSWORD_FILE`` and ``NEO4J_DATABASE``; that of the process by default.

        Raises
        ------
        UsageError
            No URI, one with a password in it, or no password to be had.
        InputError
            The password file cannot be read.
        """
        given = os.environ if environment is None else environment
        if uri == "neo4j":
            uri = given.get("NEO4J_URI", "")
            if not uri:
                raise UsageError(
                    '``store="neo4j"`` needs NEO4J_URI, such as neo4j://localhost:7687'
                )
        _check_uri(uri)
        user = given.get("NEO4J_USERNAME") or "neo4j"
        return cls(uri, user, _password(given, user), given.get("NEO4J_DATABASE") or None)


def is_neo4j(uri: str) -> bool:
    """Whether a ``--store`` value means a Neo4j server."""
    return uri == "neo4j" or uri.partition("://")[0] in SCHEMES


def _check_uri(uri: str) -> None:
    # What stands before an @ may be a password: such a URI is never repeated.
    if "@" in uri:
        raise UsageError(
            "the store's URI holds a user name or password; give them as NEO4J_USERNAME and "
            "NEO4J_PASSWORD or NEO4J_PASSWORD_FILE"
        )
    try:
        parts = urlsplit(uri)
        known = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise UsageError(f"{quoted(uri, 80)} is no store; write it as neo4j://host:7687")


def _password(environment: Mapping[str, str], user: str) -> str:
    if "NEO4J_PASSWORD" in environment:
        return environment["NEO4J_PASSWORD"]
    file = environment.get("NEO4J_PASSWORD_FILE")
    if file:
        try:
            lines = Path(file).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: this password file cannot be read") from error
        return lines[0] if lines else ""
    if sys.stdin is not None and sys.stdin.isatty():
        return getpass.getpass(f"Password of {user} on Neo4j: ")
    raise UsageError(
        "no password for Neo4j: set NEO4J_PASSWORD, or NEO4J_PASSWORD_FILE to the name of a "
        "file that holds it (NEO4J_PASSWORD='' for a server without authentication)"
    )


def connect(address: Address) -> neo4j.Driver:
    """A driver connected to a server of a supported version.

    Raises
    ------
    StoreUnreachable
        Nobody answers within five seconds, or the credentials are refused.
    UsageError
        The server is older than Neo4j 5, or has no such database.
    """
    # Without a handler of its own the driver's warnings would land on stderr.
    logging.getLogger("neo4j").addHandler(logging.NullHandler())
    auth = neo4j.basic_auth(address.user, address.password) if address.password else None
    with told(address):
        driver = neo4j.GraphDatabase.driver(
            address.uri,
            auth=auth,
            connection_timeout=_CONNECT_SECONDS,
            connection_acquisition_timeout=_CONNECT_SECONDS,
            max_transaction_retry_time=_RETRY_SECONDS,
            notifications_min_severity="OFF",
        )
    try:
        with told(address):
            driver.verify_connectivity()
            _check_version(driver, address)
    except BaseException:
        driver.close()
        raise
    return driver


def _check_version(driver: neo4j.Driver, address: Address) -> None:
    cypher = "CALL dbms.components() YIELD name, versions, edition RETURN versions[0], edition"
    with driver.session(database=address.database) as session:
        record = session.run(cypher).single()
    version, edition = record.values() if record else ("0", "unknown")
    if int(re.sub(r"\D.*", "", version) or 0) < _OLDEST:
        raise UsageError(
            f"{address.uri} is Neo4j {version} ({edition}); circuitgraph needs version 5 or later"
        )


@contextlib.contextmanager
def told(address: Address, *, asked: bool = False) -> Iterator[None]:
    """Turn the driver's errors into ours.

    Parameters
    ----------
    address : Address
        For the message.
    asked : bool
        The statement is a user's: if the server refuses it, the statement is at fault.

    Raises
    ------
    StoreUnreachable, UsageError, InputError
        With the server's own words, on one line.
    """
    try:
        yield
    except AuthError as error:
        raise StoreUnreachable(
            f"{address.uri} refuses the user {quoted(address.user)} or the password; check "
            "NEO4J_USERNAME and NEO4J_PASSWORD or NEO4J_PASSWORD_FILE"
        ) from error
    except (Neo4jError, DriverError, ConfigurationError) as error:
        raise _translated(error, address, asked) from error
    except (OSError, ValueError, TypeError, OverflowError) as error:
        if asked:
            raise UsageError(f"the graph does not accept this query: {_line(error)}") from error
        raise StoreUnreachable(f"{address.uri} does not answer: {_line(error)}") from error


def _translated(error: Exception, address: Address, asked: bool) -> CircuitGraphError:
    words = _line(error)
    if isinstance(error, Neo4jError) and "DatabaseNotFound" in (error.code or ""):
        return UsageError(f"{address.uri}: {words}; set NEO4J_DATABASE to one that exists")
    if isinstance(error, ClientError):
        if asked:
            return UsageError(f"the graph does not accept this query: {words}")
        return InputError(f"{address.uri}: the graph cannot be written: {words}")
    if isinstance(error, TransientError):
        return StoreUnreachable(f"{address.uri} could not do it now: {words}; try again")
    if isinstance(error, Neo4jError):
        return InputError(f"{address.uri} failed: {words}")
    return StoreUnreachable(
        f"{address.uri} does not answer ({words}); is the server started, and the port right?"
    )


def _line(error: BaseException) -> str:
    """The error's message in one short line."""
    words = error.message if isinstance(error, Neo4jError) else str(error)
    text = " ".join((words or type(error).__name__).split())
    # A syntax error lists every word of Cypher that would have been right there.
    text = re.sub(r": expected .*", "", text)
    return text if len(text) <= 300 else f"{text[:299]}…"
