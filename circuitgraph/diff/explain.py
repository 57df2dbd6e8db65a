"""One edge in two variants: the numbers behind its row, prompt by prompt, and in words."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import parse
from circuitgraph.base.errors import UsageError, quoted, short
from circuitgraph.base.foreign import own_name
from circuitgraph.base.notebook import framed
from circuitgraph.diff.confirm import as_compared
from circuitgraph.diff.record import CLAIMS, KEY, Diff
from circuitgraph.lenses.base import EdgeRow, Lens
from circuitgraph.lenses.match import Matched

_MEANING = {
    "rewired": "the edge changed",
    "sign_flip": "the edge changed its sign",
    "gained": "the edge is there in the second and was not in the first",
    "lost": "the edge was there in the first and is not in the second",
    "unchanged": "any change is smaller than the margin",
    "not_detected": "no change was found, which is not the same as none",
    "not_testable": "nothing can be said",
}


def _one_input(diff: Diff, index: int, row: dict[Any, Any], per_scenario: pd.DataFrame) -> str:
    """Numbers, verdict, scenarios and caveats of one edge by one input: a paragraph."""
    arrow = "→" if diff.asks.directed else "–"
    into = f" ({row['input']})" if row["input"] else ""
    more = {name: float(values[index]) for name, values in diff.lens_details.by_edge.items()}
    lines = [
        f"{short(row['source'])} {arrow} {short(row['target'])}{into}, "
        f"{short(diff.a)} → {short(diff.b)}, {diff.lens} lens, {diff.scope} scope",
        *diff.asks.in_words(EdgeRow(row, more, diff.a, diff.b, diff.scope, diff.margin)),
        _verdict(row),
        _scenarios(per_scenario[per_scenario["input"] == row["input"]], diff.signed),
        *_claim(diff, index, row),
        *_screen(diff, row),
        f"Based on {row['n']} distinct prompts in {row['n_scenarios']} scenarios "
        f"(evidence {diff.summary['evidence']}).",
    ]
    return "\n".join(lines)


def _verdict(row: dict[Any, Any]) -> str:
    why = f" ({row['reason']})" if row["reason"] else ""
    return f"Verdict: {row['verdict']}{why}: {_MEANING[row['verdict']]}."


def _scenarios(table: pd.DataFrame, signed: bool) -> str:
    change = table["change" if "change" in table else "delta"].to_numpy()
    names = table["scenario"].tolist()
    if len(change) == 1:
        return "All prompts are of one scenario."
    up, down = int((change > 0).sum()), int((change < 0).sum())
    most, least = int(np.argmax(np.abs(change))), int(np.argmin(np.abs(change)))
    sign = "+" if signed else ""
    places = [f"{short(names[i])} ({change[i]:{sign}.3f})" for i in (most, least)]
    if not signed:
        return f"Of {len(change)} scenarios most in {places[0]}, least in {places[1]}."
    return (
        f"Of {len(change)} scenarios {up} changed upwards and {down} downwards; most in "
        f"{places[0]}, least in {places[1]}."
    )


def _claim(diff: Diff, index: int, row: dict[Any, Any]) -> list[str]:
    if row["verdict"] not in CLAIMS:
        return []
    if index not in diff.details.index:
        return diff.asks.mechanism_in_words(row, pd.Series(dtype=float))
    extra = diff.extras.loc[index]
    lines = [
        f"The prompts agree to {extra['cancellation']:.0%} (|mean| over the root mean square "
        "of their changes): near 100% all change alike, near 0% they cancel.",
        _again(extra),
    ]
    if pd.notna(extra["wording"]):
        lines.append(f"Without its worst wording {extra['wording']:.0%} of the change is left.")
    return [*lines, *diff.asks.mechanism_in_words(row, extra)]


def _again(extra: Any) -> str:
    """Stability of a claim, in a sentence."""
    kinds = ("scenario", "wording", "seed")
    left = [
        f"{extra[f'{kind}s_left']:.0%} of the fits that leave out one {kind}"
        for kind in kinds
        if pd.notna(extra[f"{kind}s_left"])
    ]
    shares = [f"{extra['stability']:.0%} of bootstrap samples of the prompts", *left]
    return f"The same test claims it again in {', in '.join(shares)}."


def _screen(diff: Diff, row: dict[Any, Any]) -> list[str]:
    """What an effect was estimated by, where no exact one was taken."""
    found = diff.summary.get("confirmation")
    if not found or tuple(row[name] for name in KEY) in set(diff.confirmed):
        return []
    return [
        f"Both effects are estimates ({found['estimator']}), which can be far off, sign included; "
        "exact ones were taken of the claims and the strongest edges alone."
    ]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Everything measured about the edge from ``source`` to ``target``.

    Attributes
    ----------
    rows : DataFrame
        The diff's rows of this edge, one per input.
    per_prompt : DataFrame
        One row per input and prompt. Effects: ``raw_a, raw_b`` (decision units), ``direction``,
        ``share_a, share_b`` (signed, on the diff's scale), ``change``. Correlations: activities
        ``source_a, target_a, source_b, target_b``, ``change`` (influence on the change of r).
        Wiring: ``LensDetails.by_prompt``. Groups of variants are averaged; correlations show the
        first variant of each side.
    per_scenario : DataFrame
        Means of the same per scenario with their number of prompts; for correlations also
        ``r_a, r_b`` within the scenario.
    text : str
    heads : mapping
        Titles of columns whose names lack their units.
    """

    source: str
    target: str
    rows: pd.DataFrame
    per_prompt: pd.DataFrame
    per_scenario: pd.DataFrame
    text: str
    heads: Mapping[str, str]

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        verdict = ", ".join(self.rows["verdict"].astype(str))
        return f"Explanation({short(self.source)} → {short(self.target)}: {verdict})"

    def _repr_html_(self) -> str:
        return framed(self.text, self.per_scenario.rename(columns=dict(self.heads)))


def explain_edge(diff: Diff, source: str, target: str) -> Explanation:
    """Explain one edge of a diff; ``UsageError`` where it has no such edge."""
    known = {*diff.table["source"].cat.categories, *diff.table["target"].cat.categories}
    source, target = own_name(source, known), own_name(target, known)
    rows = _rows_of(diff.table, source, target)
    if rows.empty and not diff.asks.directed:
        source, target = target, source
        rows = _rows_of(diff.table, source, target)
    if rows.empty:
        raise UsageError(_unknown(diff, source, target))
    per_prompt = _per_prompt(diff, diff.asks.lined_up(*as_compared(diff)), rows)
    per_scenario = _per_scenario(per_prompt, diff.asks)
    records = zip(rows.index.tolist(), rows.to_dict("records"), strict=True)
    text = "\n\n".join(_one_input(diff, index, row, per_scenario) for index, row in records)
    heads = diff.asks.heads_by_scenario(diff.scope)
    return Explanation(source, target, rows, per_prompt, per_scenario, text, heads)


def _rows_of(table: pd.DataFrame, source: str, target: str) -> pd.DataFrame:
    return table[(table["source"] == source) & (table["target"] == target)]


def _unknown(diff: Diff, source: str, target: str) -> str:
    known = {*diff.table["source"].cat.categories, *diff.table["target"].cat.categories}
    require_components((source, target), known)
    ends = parse(source), parse(target)
    beside = ends[0].kind != "mlp" and ends[1].kind == "mlp" and ends[0].layer == ends[1].layer
    return f"no edge from {quoted(source)} to {quoted(target)} was measured: " + (
        "attention and MLP of a block read the same stream in this model (parallel blocks)"
        if beside
        else "an edge runs from an earlier component to a later one"
    )


def require_components(names: Iterable[str], known: Collection[str]) -> None:
    """Refuse components that no variant has, by our name or another program's.

    Raises
    ------
    UsageError
        Names the nearest ones.
    """
    for name in names:
        if own_name(name, known) not in known:
            candidates = [str(k) for k in known if len(k) < 80]
            near = sorted(k for k in candidates if k.casefold() == name.casefold())
            near = near or [layer for layer in (_layer_of(name),) if layer in known]
            near = near or difflib.get_close_matches(name[:80], candidates, 3)
            hint = f"did you mean {', '.join(near)}?" if near else "see the diff's table"
            raise UsageError(f"component {quoted(name, 80)} is in neither variant; {hint}")


def _layer_of(name: str) -> str:
    """The attention layer of a head, for variants measured layer by layer."""
    head = parse(name)
    return f"L{head.layer}_ATTN" if head.kind == "head" else ""


def _per_prompt(diff: Diff, matched: Matched, rows: pd.DataFrame) -> pd.DataFrame:
    found = diff.asks.by_prompt(matched, rows, diff.lens_details)
    named: dict[str, Any] = {
        "prompt": [prompt.id for prompt in matched.prompts],
        "scenario": [prompt.scenario for prompt in matched.prompts],
    }
    parts = [
        pd.DataFrame({"input": into, **named, **numbers})
        for into, numbers in zip(rows["input"], found, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def _per_scenario(per_prompt: pd.DataFrame, lens: Lens) -> pd.DataFrame:
    groups = per_prompt.groupby(["input", "scenario"], sort=False)
    table = groups.mean(numeric_only=True)
    table.insert(0, "n", groups.size())
    more = pd.DataFrame([lens.by_scenario(group) for _, group in groups], index=table.index)
    return table.join(more).reset_index()
