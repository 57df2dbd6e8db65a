"""A connection to a Neo4j server, and its errors with what to do."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator

import neo4j
from neo4j.exceptions import (
    AuthError,
    ClientError,
    ConfigurationError,
    DriverError,
    Neo4jError,
    TransientError,
)

from circuitgraph.base.errors import (
    CircuitGraphError,
    InputError,
    StoreUnreachable,
    UsageError,
    quoted,
)
from circuitgraph.store.address import Address

_CONNECT_SECONDS = 4.0
_RETRY_SECONDS = 15.0
_OLDEST = 5


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
