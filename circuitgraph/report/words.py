"""Summary of a diff in sentences, and what the words of the page mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from circuitgraph.base.errors import short
from circuitgraph.diff.record import CLAIMS, Diff


def summary_lines(diff: Diff) -> list[str]:
    """The result first, then controls and caveats."""
    remarks, yardstick = diff.summary["remarks"], diff.summary["yardstick"]
    warnings = [line for line in remarks if line.startswith("warning:")]
    return [
        headline(diff),
        *warnings,
        *_naive(diff),
        *_mechanism(diff),
        *([diff.asks.yardstick_in_words(yardstick, diff.a)] if yardstick else []),
        *_decoys(diff),
        *_gain(diff),
        *(line for line in remarks if line not in warnings),
    ]


def title(diff: Diff) -> str:
    """Names of both sides, shortened."""
    return f"{short(diff.a)} → {short(diff.b)}"


def headline(diff: Diff) -> str:
    """One line: number of changed edges, or insufficient evidence."""
    summary = diff.summary
    basis = (
        f"{summary['n']} prompts in {summary['n_scenarios']} scenarios, "
        f"evidence {summary['evidence']}"
    )
    where = f"{title(diff)} ({diff.lens} lens, {diff.scope} scope)"
    if summary["identical"]:
        where = f"{where}: {summary['identical']}"
    first, last = _alike(summary)
    if diff.insufficient:
        return f"{where}: cannot tell; {first}{basis}"
    kinds = ", ".join(
        f"{summary['verdicts'][kind]} {kind.replace('_', ' ')}"
        for kind in CLAIMS
        if summary["verdicts"].get(kind)
    )
    shown = f" ({kinds})" if kinds else ""
    return (
        f"{where}: {first}{summary['n_claims']} of {summary['n_testable']} testable edges changed "
        f"beyond a margin of {diff.margin:.3g}{shown}{last}; {basis}"
    )


def _alike(summary: dict[str, Any]) -> tuple[str, str]:
    """Text before and after the claims if both sides decide alike."""
    found = summary["policies"]
    said = bool(summary["identical"])
    if said or not found or not found["decided"] or not found["alike"]:
        return "", ""
    after = ", but these variants decide alike" if summary["n_claims"] else ""
    return f"{found['words']}; ", after


def _naive(diff: Diff) -> Iterator[str]:
    naive = diff.summary.get("naive")
    if naive:
        counts = ", ".join(f"{count} of at least {size}" for size, count in naive.items())
        yield f"a bare cut on |Δr|, without a test, would report {counts}"


_WHY = {
    "upstream": "the signal that enters changed",
    "edge": "the edge itself changed",
    "downstream": "what follows it changed",
    "mixed": "no one reason makes up half",
    "unknown": "not measured",
}


def _mechanism(diff: Diff) -> Iterator[str]:
    found = diff.summary.get("mechanism")
    if not found:
        return
    total = sum(found["claims"].values())
    first, *others = sorted(found["claims"].items(), key=lambda item: -item[1])
    told = [f"of {total} claims {first[1]} {first[0]}: {_WHY[first[0]]}"]
    told += [f"{count} {name}: {_WHY[name]}" for name, count in others]
    if found["gain"]:
        told.append(
            f"in {found['gain']} most of the change is that of the norm of all edge effects (gain)"
        )
    yield "mechanism: " + "; ".join(told)


def _decoys(diff: Diff) -> Iterator[str]:
    if drawn := diff.summary.get("random"):
        yield _random(diff, drawn)
    for decoy in (d for d in diff.summary["decoys"] if not d.get("random")):
        pair, claimed = null_pair(decoy)
        told = "" if decoy["evidence"] == "insufficient" else "the same test claims "
        yield f"null pair {pair}: {told}{claimed}{_drift(decoy)}"


def null_pair(decoy: dict[str, Any]) -> tuple[str, str]:
    """Names of a null pair, and how many claims the same test makes there."""
    claimed = f"{decoy['n_claims']} of {decoy['n_testable']} edges"
    if decoy["evidence"] == "insufficient":
        claimed = "cannot tell"
    return f"{short(decoy['a'])} : {short(decoy['b'])}", claimed


def _random(diff: Diff, drawn: dict[str, Any]) -> str:
    """Claims of the same test on random updates, and the margin without claims."""
    claims = ", ".join(map(str, drawn["claims"]))
    told = (
        f"random updates: of {short(diff.a)} moved at random as far as {short(diff.b)} is from it "
        f"({drawn['draws']} times, the same singular values) the same test claims {claims} edges"
    )
    if not any(drawn["claims"]):
        return told
    return (
        f"{told}; a margin of {drawn['silent_at']:.3g} would silence it there and leave this pair "
        f"{drawn['left']}"
    )


def _drift(decoy: dict[str, Any]) -> str:
    drift = decoy["drift"]
    if not drift:
        return " (drift unknown)"
    return f" (‖ΔW‖/‖W‖ {drift['weights']:.3f}, KL {drift['kl']:.4f})"


def _gain(diff: Diff) -> Iterator[str]:
    gain = diff.summary.get("gain")
    if gain is not None:
        yield (
            f"gain {gain:.2f}: the slope of the effects in {short(diff.b)} on those in "
            f"{short(diff.a)}; 1 is neither stronger nor weaker, near or below 0 is another pattern"
        )


TERMS = {
    "claim": "an edge said to differ beyond the margin, at the false discovery rate asked for",
    "verdict": (
        "rewired, sign flip, gained, lost are claims; unchanged: any change is surely smaller than "
        "the margin; not detected: no change was found, which is not the same; not testable: see "
        "the reason"
    ),
    "margin": "the smallest change that matters; it is part of the test",
    "q": "the false discovery rate at which the edge would just be claimed",
    "p": "probability of a change this large where the true change is within the margin",
    "evidence": "what the number of prompts or seeds allows to say; insufficient means cannot tell",
    "mechanism": (
        "why an effect changed: upstream (the signal that enters), edge (weights of sender and "
        "receiver), downstream (what reads the result), mixed"
    ),
    "scope": (
        "what a claim is about: checkpoint, these two models; recipe, their training beyond its "
        "seeds"
    ),
    "lens": "which kind of edge is compared",
    "low": "the 95% interval of the change",
    "agreement": (
        "|mean| over the root mean square of the change on single prompts: 100% where all prompts "
        "change alike"
    ),
    "block": "claims whose changes go together over prompts; they stand or fall together",
    "hub": "a component at which more edges differ than chance puts there",
    "gain": "how much stronger all effects of B are than those of A; 1 is as strong",
    "null pair": "two variants said not to differ: what the same test claims there is noise",
}
