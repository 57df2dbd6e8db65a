"""Tables of a variant's decisions by scenario, state, wording or game, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from circuitgraph.games.opponents import Opponent
from circuitgraph.games.payoffs import STATES, Game
from circuitgraph.games.rewards import deontological_regret, utilitarian_regret
from circuitgraph.stats.margins import mean_interval

By = Literal["scenario", "state", "wording", "game"]
BY: tuple[By, ...] = ("scenario", "state", "wording", "game")
COLUMNS = ("key", "game", "scenario", "wording", "state", "split", "p", "legal")
"""Columns of decisions, one row per prompt; ``p`` is P(C | legal answer)."""
SAMPLED = ("sampled", "sampled_legal", "agrees")
"""Share of C among legal samples, of legal samples, and agreement with the likelier move."""


def scenario_table(decisions: pd.DataFrame) -> pd.DataFrame:
    """One row per scenario: ``game, scenario, state, n, p, low, high, legal``."""
    rows = [
        {"game": game, "scenario": scenario, "state": own["state"].iloc[0], **_summary(own)}
        for (game, scenario), own in decisions.groupby(["game", "scenario"], sort=True)
    ]
    return pd.DataFrame(rows)


def _summary(own: pd.DataFrame) -> dict[str, Any]:
    each = _by_wording(own, "p")
    p, low, high = mean_interval(each, (0.0, 1.0))
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
    """Decisions of a variant, and their change from its base on the same prompts.

    Parameters
    ----------
    name
        Of the variant.
    decisions, base
        One row per prompt, :data:`COLUMNS`; None for the base itself, or without one.
    by
        One row per scenario, state, wording or game. ``game``: P(C) in each state, reciprocity
        P(C | C) − P(C | D) by the other's last move, and regret.
    games
        Payoffs, for regret; regret is empty for a game without them.
    opponent
        Gives the next move, for utilitarian regret.
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
        row = {**dict(zip(keys, cell, strict=True)), **_summary(own)}
        if known is not None:
            row |= _change_from_base(own, known)
        for column in SAMPLED:
            if column in own:
                row[column] = float(own[column].mean())
        yield row


def _change_from_base(own: pd.DataFrame, base: pd.DataFrame) -> dict[str, Any]:
    """Base on the same prompts, and change with its interval over wordings."""
    shared = own[own["key"].isin(base.index)]
    if shared.empty:
        return {"base": np.nan, "change": np.nan, "change_low": np.nan, "change_high": np.nan}
    p = base.loc[shared["key"], "p"].to_numpy(float)
    both = shared.assign(base=p, change=shared["p"].to_numpy(float) - p)
    mean, low, high = mean_interval(_by_wording(both, "change"), (-1.0, 1.0))
    before = float(_by_wording(both, "base").mean())
    return {"base": before, "change": mean, "change_low": low, "change_high": high}


def _games(
    decisions: pd.DataFrame, games: Mapping[str, Game], opponent: Opponent
) -> Iterator[dict[str, Any]]:
    for game, own in decisions.groupby("game", sort=True):
        p, legal = (_by_state(own, column) for column in ("p", "legal"))
        reciprocity = mean_interval(_reciprocity(own), (-1.0, 1.0))
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
    """P(C | C) − P(C | D) of every wording that has both."""
    other = own["state"].str[1]
    sides = [own[other == move].groupby("wording")["p"].mean() for move in "CD"]
    return (sides[0] - sides[1]).dropna().to_numpy(float)
