"""Decisions on held-out wordings: was the recipe learnt, and more than by null variants?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import torch

from circuitgraph.games.payoffs import STATES
from circuitgraph.games.rewards import NULLS
from circuitgraph.stats import special
from circuitgraph.stats.margins import mean_interval
from circuitgraph.training.runner import Runner
from circuitgraph.training.texts import Group, Text

Rows = Sequence[Mapping[str, Any]]


def distance(rows: Rows, targets: Mapping[tuple[str, str], float]) -> float:
    """Mean over games and states of |P(C) − target|."""
    apart = [abs(row["p"] - targets[row["game"], row["state"]]) for row in rows]
    return sum(apart) / len(apart)


def nulls_beside(folder: Path, record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Records of null variants of the same base, tested on the same texts."""
    found = []
    for name in NULLS:
        for file in sorted(folder.glob(f"{name}-*/train.json")):
            told = json.loads(file.read_text("utf-8"))
            if told.get("recipe") == name and all(
                told.get(key) == record[key] for key in ("data", "base")
            ):
                found.append(told)
    return found


def beside_nulls(records: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """How the seeds of one recipe stand to the null variants in a folder; "" where none are.

    The p is that of a rank test: the chance that all seeds are nearer to the target than all
    nulls if neither were nearer, 1 over the ways to choose the seeds among both.
    """
    rows = records[0]["held_out"]
    if any(row["target"] is None for row in rows):
        return ""
    nulls = nulls_beside(folder, records[0])
    if not nulls:
        return ""
    targets = {(row["game"], row["state"]): float(row["target"]) for row in rows}
    best = min(distance(null["held_out"], targets) for null in nulls)
    near = sum(distance(record["held_out"], targets) < best for record in records)
    told = f"{near} of {len(records)} seeds nearer to the target than each of {len(nulls)} nulls"
    if near < len(records):
        return told
    return f"{told} (p = {1 / comb(len(records) + len(nulls), len(nulls)):.2g})"


BATCH = 4
"""Groups per batch; changes speed and memory, results only by rounding."""
DECIDED = 0.1
"""A target is decided where the rarer move has at most this probability."""
NEAR = 0.1
"""Largest distance of the mean from a decided target, and of null recipes from the base."""
NEAR_OPEN = 0.2
"""Largest distance of the mean from any other target."""
LEGAL = 0.9
"""Smallest probability of a legal answer."""
ALPHA = 0.05


@dataclass(frozen=True)
class Answers:
    """Probabilities of both labels on texts.

    Attributes
    ----------
    texts
        Without repeats.
    p
        Probability of C given a legal answer [texts].
    legal
        Probability of either label [texts].
    """

    texts: tuple[Text, ...]
    p: np.ndarray
    legal: np.ndarray

    @property
    def cells(self) -> dict[tuple[str, str], list[int]]:
        """Indices of texts by game and state."""
        found: dict[tuple[str, str], list[int]] = {}
        for i, text in enumerate(self.texts):
            found.setdefault((text.game, text.state), []).append(i)
        return {key: found[key] for key in sorted(found, key=lambda k: (k[0], STATES.index(k[1])))}

    def by_wording(self, rows: Sequence[int], values: np.ndarray) -> np.ndarray:
        """Mean of values over the texts of each wording, among some rows."""
        own: dict[str, list[float]] = {}
        for i in rows:
            own.setdefault(self.texts[i].wording, []).append(float(values[i]))
        return np.array([np.mean(own[name]) for name in sorted(own)])


@torch.no_grad()
def answers(runner: Runner, groups: Sequence[Group]) -> Answers:
    """Probabilities of both labels on every text of some groups."""
    known: dict[tuple[int, ...], tuple[Text, float, float]] = {}
    for begin in range(0, len(groups), BATCH):
        rows = [row for group in groups[begin : begin + BATCH] for row in runner.rows(group)]
        batch, scores, _ = runner.scores(rows)
        for text, pair in zip(batch.texts, scores.double().cpu(), strict=True):
            p = float(torch.sigmoid(pair[0] - pair[1]))
            known[text.ids] = (text, p, float(pair.exp().sum()))
    texts, ps, legal = zip(*known.values(), strict=True)
    return Answers(texts, np.array(ps), np.array(legal))


def table(
    base: Answers, own: Answers, targets: Mapping[tuple[str, str], Mapping[str, float]]
) -> list[dict[str, Any]]:
    """Rows by game and state: P(C) of base and variant, with its interval over wordings."""
    found = []
    for (game, state), rows in own.cells.items():
        each = own.by_wording(rows, own.p)
        mean, low, high = mean_interval(each, (0.0, 1.0))
        target = targets.get((game, state))
        found.append(
            {
                "game": game, "state": state, "n": len(each),
                "base": float(base.by_wording(rows, base.p).mean()),
                "p": mean, "low": low, "high": high,
                "target": None if target is None else target["C"],
                "legal": float(own.by_wording(rows, own.legal).mean()),
            }
        )  # fmt: skip
    return found


@dataclass(frozen=True)
class Verdict:
    """Whether a recipe was learnt.

    Attributes
    ----------
    learnt
        None for null recipes, or with too few wordings.
    words
        The reason.
    p
        One-sided p of "no nearer to the target than the base"; None for null recipes.
    """

    learnt: bool | None
    words: str
    p: float | None = None


def verdict(
    recipe: str,
    rows: Sequence[Mapping[str, Any]],
    base: Answers,
    own: Answers,
    targets: Mapping[tuple[str, str], Mapping[str, float]],
) -> Verdict:
    """Whether a variant learnt its recipe, on held-out wordings.

    Learnt: the mean of every state within 0.1 of a decided target (0.2 of any other), 90% legal
    answers, and nearer to the target than the base by a paired t-test over wordings of
    KL(target ‖ answers).
    """
    if not targets:
        return _of_null(recipe, rows)
    off = [_off(row) for row in rows]
    p = _nearer(base, own, targets)
    legal = min(row["legal"] for row in rows)
    wrong = [words for words in off if words]
    if legal < LEGAL:
        wrong.append(f"legal answers only {legal:.0%}")
    if p is None:
        return Verdict(None, "; ".join(wrong) or "too few held-out wordings to test", None)
    if p >= ALPHA:
        wrong.append(f"no nearer to the target than the base (p = {p:.2g})")
    return Verdict(
        not wrong, "; ".join(wrong) or f"nearer to the target than the base (p = {p:.1g})", p
    )


def _of_null(recipe: str, rows: Sequence[Mapping[str, Any]]) -> Verdict:
    apart = max(abs(row["p"] - row["base"]) for row in rows)
    if recipe != "self":
        return Verdict(None, f"a null: nothing to learn; P(C) moved by up to {apart:.2f}")
    if apart <= NEAR:
        return Verdict(None, f"a null: P(C) within {apart:.2f} of the base in every state")
    return Verdict(False, f"a null that left the base: P(C) moved by up to {apart:.2f}")


def _off(row: Mapping[str, Any]) -> str:
    near = NEAR if min(row["target"], 1 - row["target"]) <= DECIDED else NEAR_OPEN
    if abs(row["p"] - row["target"]) <= near:
        return ""
    return f"{row['game']} {row['state']}: P(C) is {row['p']:.2f}, asked for {row['target']:.2f}"


def _nearer(
    base: Answers, own: Answers, targets: Mapping[tuple[str, str], Mapping[str, float]]
) -> float | None:
    """One-sided p, paired over wordings: the divergence is no smaller than the base's."""
    gains = _divergences(base, targets) - _divergences(own, targets)
    each = own.by_wording(range(len(own.texts)), gains)
    if len(each) < 2:
        return None
    error = float(each.std(ddof=1)) / len(each) ** 0.5
    if error == 0:
        return 0.0 if each[0] > 0 else 1.0
    return float(special.stdtr(len(each) - 1, -each.mean() / error))


def _divergences(
    found: Answers, targets: Mapping[tuple[str, str], Mapping[str, float]]
) -> np.ndarray:
    """KL(target ‖ answers) of every text, over all answers."""
    p = np.array([targets[t.game, t.state]["C"] for t in found.texts])
    target = np.stack([p, 1 - p])
    own = np.clip(found.legal * np.stack([found.p, 1 - found.p]), 1e-300, None)
    return (target * (np.log(np.clip(target, 1e-300, None)) - np.log(own))).sum(0)
