"""Address and credentials of a Neo4j server.

The password comes from the environment, a file, or a hidden prompt. It is in no message,
no representation and no command line.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from circuitgraph.base.errors import InputError, UsageError, quoted

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")


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
