"""The pages of a workspace as a Flask application for one reader on this machine."""

from __future__ import annotations

import secrets

from flask import Flask, Response, abort, request

from circuitgraph.base.errors import CircuitGraphError
from circuitgraph.base.frames import records
from circuitgraph.diff.record import Diff
from circuitgraph.lenses.registry import lens_names
from circuitgraph.report.page import Section, page_html
from circuitgraph.report.words import title
from circuitgraph.workspace import Workspace

MOST_ROWS = 1_000
"""Rows of an answer to Cypher that are sent; how many there were is said."""
MOST_TEXT = 20_000
"""Characters of a statement."""
HOSTS = ("127.0.0.1", "localhost")


def create_app(workspace: Workspace, token: str) -> Flask:
    """The application; every request must carry the token.

    Parameters
    ----------
    workspace : Workspace
        Whose variants are shown. Comparisons that are asked for are kept there, as by ``diff``.
    token : str
        Secret of this start of the server: in the address for pages, in the header
        ``X-Token`` for statements.

    Notes
    -----
    Requests for another host name (DNS rebinding) or from a page of another origin are
    refused, whatever they carry.
    """
    app = Flask(__name__, static_folder=None)
    app.before_request(lambda: _require_own(token))
    app.after_request(_closed)

    @app.get("/")
    def page() -> Response | tuple[str, int]:
        return _page(workspace, token)

    @app.post("/cypher")
    def cypher() -> tuple[dict, int]:
        return _answer(workspace, request.get_json(silent=True))

    return app


def _require_own(token: str) -> None:
    host = request.host.rsplit(":", 1)[0]
    origin = request.headers.get("Origin")
    given = request.headers.get("X-Token") or request.args.get("token", "")
    if host not in HOSTS or (origin is not None and origin != f"http://{request.host}"):
        abort(403)
    if not secrets.compare_digest(given.encode(), token.encode()):
        abort(403)


def _closed(response: Response) -> Response:
    """Nothing is kept by the browser, nothing may frame the page."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _page(workspace: Workspace, token: str) -> Response | tuple[str, int]:
    names = list(workspace)
    chosen = {"a": request.args.get("a", ""), "b": request.args.get("b", "")}
    lens = request.args.get("lens", "")
    scope = request.args.get("scope", "checkpoint")
    explorer = {
        "token": token, "lenses": lens_names(), "lens": lens, "scope": scope,
        **chosen, **_offered(workspace, chosen, scope), "error": "",
    }  # fmt: skip
    if not all(chosen.values()):
        explorer["error"] = "" if names else "the workspace is empty: ingest variants first"
        return Response(page_html("circuitgraph", [], [], explorer))
    try:
        diff = _diff(workspace, chosen, lens, scope)
    except CircuitGraphError as error:
        explorer["error"] = str(error)
        return page_html("circuitgraph", [], [], explorer), 400
    section = Section("What changed", "", diff)
    return Response(page_html(title(diff), [], [section], explorer))


def _offered(workspace: Workspace, chosen: dict[str, str], scope: str) -> dict[str, object]:
    """Variants and recipes to choose from; a name of both is what the scope makes of it."""
    variants = workspace.catalogue().variants()
    recipes = sorted({variant.recipe for variant in variants.values() if variant.recipe})
    groups = [
        {"label": "Variants", "scope": "checkpoint", "names": list(variants)},
        {"label": "Recipes: all their seeds", "scope": "recipe", "names": recipes},
    ]
    as_recipe = {side: scope == "recipe" and name in recipes for side, name in chosen.items()}
    shown_as = {side: "recipe" if yes else "checkpoint" for side, yes in as_recipe.items()}
    return {"groups": groups, "shown_as": shown_as}


def _diff(workspace: Workspace, chosen: dict[str, str], lens: str, scope: str) -> Diff:
    """The diff of two variants, with mechanisms where they were measured before."""
    if scope not in ("checkpoint", "recipe"):
        abort(400)
    return workspace.diff(
        chosen["a"],
        chosen["b"],
        lens=lens or None,
        scope="recipe" if scope == "recipe" else "checkpoint",
        mechanism=False,
    )


def _answer(workspace: Workspace, told: object) -> tuple[dict, int]:
    text = told.get("text") if isinstance(told, dict) else None
    if not isinstance(text, str) or not 0 < len(text) <= MOST_TEXT:
        return {"error": f"a statement of 1 to {MOST_TEXT} characters is needed"}, 400
    try:
        found = workspace.cypher(text)
    except CircuitGraphError as error:
        return {"error": str(error)}, 400
    rows = records(found.head(MOST_ROWS))
    columns = [str(name) for name in found]
    values = [[row[name] for name in columns] for row in rows]
    return {"columns": columns, "rows": values, "total": len(found)}, 200
