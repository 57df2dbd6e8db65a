"""Ray addresses, checked before torch and models are loaded."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from circuitgraph.base.errors import ClusterError, UsageError

OBJECT_STORE = 200_000_000
"""Bytes a local Ray sets aside for results on their way; more of them go to disk."""
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0
"""A port that opens and then says nothing is given up after these."""

_ADDRESS = re.compile(
    r"auto|local(:(?P<workers>[1-9]\d{0,3}))?"
    r"|(ray://)?(?P<host>(?!local:)[\w.-]+|\[[\da-fA-F:.]+\]):(?P<port>\d{1,5})",
    re.ASCII,
)
_QUIET = {"log_to_driver": False, "logging_level": "ERROR"}
_PROBE = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level='CRITICAL')"


@dataclass(frozen=True)
class Address:
    """A Ray address; no host and port for ``auto`` and ``local``, ``workers`` of a local Ray."""

    text: str
    host: str
    port: int
    workers: int | None

    @property
    def is_local(self) -> bool:
        """Whether Ray is started by this process."""
        return not self.host and self.text != "auto"


def parse_address(text: str) -> Address:
    """Parse a Ray address; ``UsageError`` for another form."""
    match = _ADDRESS.fullmatch(text)
    if match is None:  # whatever was typed may hold a password, so it is not repeated
        raise UsageError(
            "``ray``: give local, local:WORKERS, auto, HOST:PORT or ray://HOST:PORT, nothing else"
        )
    host, port, workers = match["host"], match["port"], match["workers"]
    return Address(text, (host or "").strip("[]"), int(port or 0), int(workers or 0) or None)


def import_ray() -> Any:
    """The module, an extra; ``UsageError`` where it is not installed."""
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "``ray``: Ray is not installed; pip install 'circuitgraph[ray]'"
        ) from error
    return ray


def require_cluster(text: str | None) -> None:
    """Check that a Ray address (None: no Ray) can be used.

    Raises
    ------
    UsageError
        Not an address, or Ray is not installed.
    ClusterError
        Nothing answers there within seconds.
    """
    if text is None:
        return
    address = parse_address(text)
    if import_ray().is_initialized() or address.is_local:
        return
    if address.host:
        _require_open(address)
    # Ray's own attempts to connect cannot be cut short: another process makes the first.
    try:
        words = [sys.executable, "-c", _PROBE, text]
        subprocess.run(words, capture_output=True, timeout=ANSWER_SECONDS, check=True)
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            f"``ray={text}``: no Ray lets us in within {ANSWER_SECONDS:.0f} s "
            f"({_last(error.stderr)})"
        ) from error
    except subprocess.CalledProcessError as error:
        raise ClusterError(f"``ray={text}``: cannot connect ({_last(error.stderr)})") from error


def _last(stderr: bytes | None) -> str:
    """The last line of Ray's messages, without time and place in its source."""
    lines = (stderr or b"").decode("utf-8", "replace").strip().splitlines()
    return re.sub(r"^\[.*?\] \S+:\d+: ", "", lines[-1])[:300] if lines else "it says nothing"


def _require_open(address: Address) -> None:
    try:
        socket.create_connection((address.host, address.port), CONNECT_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise ClusterError(
            f"``ray={address.text}``: nothing listens there ({error}); start Ray on that machine "
            '(ray start --head), or use ``ray="local"``'
        ) from error


def connect(ray: Any, text: str) -> None:
    """Connect this process, or start a local Ray in it, without Ray's logs."""
    address = parse_address(text)
    if not address.is_local:
        ray.init(text, **_QUIET)
        return
    ray.init(
        "local",
        num_cpus=address.workers,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE,
        **_QUIET,
    )
