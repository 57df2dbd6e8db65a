"""Serve a workspace's pages on this machine until interrupted."""

from __future__ import annotations

import secrets
import webbrowser
from collections.abc import Callable

from werkzeug.serving import WSGIRequestHandler, make_server

from circuitgraph.base.errors import InputError
from circuitgraph.workspace import Workspace

LOOPBACK = "127.0.0.1"


class _Silent(WSGIRequestHandler):
    """Addresses hold the token, so that requests are not logged."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""


def serve(
    workspace: Workspace, *, port: int = 0, browser: bool = False, tell: Callable[[str], None]
) -> None:
    """Serve on loopback, one request at a time; returns when interrupted.

    Parameters
    ----------
    workspace : Workspace
    port : int
        0 takes a free one.
    browser : bool
        Open it in the browser.
    tell : function of a line
        Is told the address, token included, once requests are answered.

    Raises
    ------
    InputError
        The port is taken.
    """
    from circuitgraph.explore.app import create_app  # help needs no store

    token = secrets.token_urlsafe(24)
    try:
        server = make_server(LOOPBACK, port, create_app(workspace, token), request_handler=_Silent)
    except (OSError, SystemExit) as error:
        raise InputError(
            f"``port`` {port} is taken; choose another, or 0 for a free one"
        ) from error
    address = f"http://{LOOPBACK}:{server.server_port}/?token={token}"
    tell(address)
    if browser:
        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
