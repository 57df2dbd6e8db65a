"""Decisions of a variant in tables: by scenario, state, wording or game, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from circuitgraph.games.opponents import Opponent
from circuitgraph.games.payoffs import STATES, Game
from circuitgraph.games.regret import deontological_regret, utilitarian_regret
from circuitgraph.stats import special

By = Literal["scenario", "state", "wording", "game"]
BY: tuple[By, ...] = ("scenario", "state", "wording", "game")
COLUMNS = ("key", "game", "scenario", "wording", "state", "split", "p", "legal")
"""Of decisions, one row a prompt: ``p`` is the probability of C among legal answers."""
SAMPLED = ("sampled", "sampled_legal", "agrees")
"""Shares of C among sampled legal answers and of legal ones among all; whether most answers are
the move that is the likelier one."""


def interval(values: np.ndarray, bounds: tuple[float, float]) -> tuple[float, float, float]:
    """Mean over wordings with its 95% interval (Student's t), kept within bounds.

    Of one wording, the bounds themselves.
    """
    mean = float(values.mean())
    if len(values) < 2:
        return mean, *bounds
    half = float(special.stdtrit(len(values) - 1, 0.975)) * float(values.std(ddof=1))
    half /= len(values) ** 0.5
    return mean, max(bounds[0], mean - half), min(bounds[1], mean + half)


def scenario_table(decisions: pd.DataFrame) -> pd.DataFrame:
    """One row a scenario: ``game, scenario, state, n, p, low, high, legal``."""
    rows = [
        {"game": game, "scenario": scenario, "state": own["state"].iloc[0], **_measured(own)}
        for (game, scenario), own in decisions.groupby(["game", "scenario"], sort=True)
    ]
    return pd.DataFrame(rows)


def _measured(own: pd.DataFrame) -> dict[str, Any]:
    each = _by_wording(own, "p")
    p, low, high = interval(each, (0.0, 1.0))
    legal = float(_by_wording(own, "legal").mean())
    return {"n": len(each), "p": p, "low": low, "high": high, "legal": legal}


def _by_wording(own: pd.DataFrame, column: str) -> np.ndarray:
    return own.groupby("wording", sort=True)[column].mean().to_numpy(float)


def compared(
    name: str,
    decisions: pd.DataFrame,
    base: pd.DataFrame | None,
    by: By,
    games: Mapping[str, Game],
    opponent: Opponent,
) -> pd.DataFrame:
    """The decisions of a variant, against those of its base on the same prompts.

    Parameters
    ----------
    name
        Of the variant.
    decisions, base
        One row a prompt, :data:`COLUMNS`; None for the base itself, or where there is none.
    by
        What a row is. ``game``: P(C) in each state, reciprocity P(C | C) − P(C | D) by the other's
        last move, and regret.
    games
        Payoffs, for regret; of a game that is not there it is left empty.
    opponent
        Whose next move utilitarian regret rests on.
    """
    if by == "game":
        rows: Iterable[dict[str, Any]] = _games(decisions, games, opponent)
    else:
        keys = {"scenario": ["game", "scenario"], "state": ["game", "state"]}
        rows = _cells(decisions, base, keys.get(by, ["game", "wording", "state"]))
    return pd.DataFrame([{"variant": name, **row} for row in rows])


def _cells(
    decisions: pd.DataFrame, base: pd.DataFrame | None, keys: list[str]
) -> Iterator[dict[str, Any]]:
    known = None if base is None else base.drop_duplicates("key").set_index("key")
    for cell, own in decisions.groupby(keys, sort=True):
        row = {**dict(zip(keys, cell, strict=True)), **_measured(own)}
        if known is not None:
            row |= _against(own, known)
        for column in SAMPLED:
            if column in own:
                row[column] = float(own[column].mean())
        yield row


def _against(own: pd.DataFrame, base: pd.DataFrame) -> dict[str, Any]:
    """The base on the same prompts, and the change with its interval over wordings."""
    shared = own[own["key"].isin(base.index)]
    if shared.empty:
        return {"base": np.nan, "change": np.nan, "change_low": np.nan, "change_high": np.nan}
    theirs = base.loc[shared["key"], "p"].to_numpy(float)
    change = shared.assign(theirs=theirs, change=shared["p"].to_numpy(float) - theirs)
    mean, low, high = interval(_by_wording(change, "change"), (-1.0, 1.0))
    told = float(_by_wording(change, "theirs").mean())
    return {"base": told, "change": mean, "change_low": low, "change_high": high}


def _games(
    decisions: pd.DataFrame, games: Mapping[str, Game], opponent: Opponent
) -> Iterator[dict[str, Any]]:
    for game, own in decisions.groupby("game", sort=True):
        p, legal = (_by_state(own, column) for column in ("p", "legal"))
        reciprocity = interval(_reciprocity(own), (-1.0, 1.0))
        row: dict[str, Any] = {"game": game, "n": own["wording"].nunique()}
        row |= {state: p.get(state, np.nan) for state in STATES}
        row |= dict(zip(("reciprocity", "low", "high"), reciprocity, strict=True))
        row["legal"] = float(_by_wording(own, "legal").mean())
        known = games.get(str(game))
        for column, regret in _REGRETS.items():
            complete = known is not None and len(p) == len(STATES)
            row[column] = regret(known, p, legal, opponent) if complete else np.nan
        yield row


_REGRETS: Mapping[str, Callable[..., float]] = {
    "deontological_regret": deontological_regret,
    "utilitarian_regret": utilitarian_regret,
}


def _by_state(own: pd.DataFrame, column: str) -> dict[str, float]:
    return {str(s): float(_by_wording(rows, column).mean()) for s, rows in own.groupby("state")}


def _reciprocity(own: pd.DataFrame) -> np.ndarray:
    """P(C | C) − P(C | D) of every wording that shows both."""
    other = own["state"].str[1]
    sides = [own[other == move].groupby("wording")["p"].mean() for move in "CD"]
    return (sides[0] - sides[1]).dropna().to_numpy(float)
