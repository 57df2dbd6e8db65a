"""Which store a ``--store`` value means."""

from __future__ import annotations

from pathlib import Path

from circuitgraph.errors import UsageError
from circuitgraph.store.embedded import FILE_NAME, EmbeddedStore
from circuitgraph.store.protocol import Store


def open_store(uri: str | None, workspace_path: str | Path, *, timeout: float = 600.0) -> Store:
    """Open the graph store of a workspace.

    Parameters
    ----------
    uri : str or None
        None, "" or ``embedded`` for the file in the workspace.
    workspace_path : path
        Folder of the workspace; need not exist.
    timeout : float
        Seconds to wait for another process that writes.

    Raises
    ------
    UsageError
        No store is known by this name.
    """
    if uri in (None, "", "embedded"):
        return EmbeddedStore(Path(workspace_path) / FILE_NAME, timeout=timeout)
    raise UsageError(f"no store is known as {uri!r}; leave --store out for the embedded graph")
