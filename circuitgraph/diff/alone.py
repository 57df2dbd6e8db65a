"""Claims of each variant of a recipe by itself, beside those of the recipe.

Seeds of one recipe can make the same decisions by different edges. The recipe scope then
claims few or none, which reads like "nothing changed" unless this is said beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from circuitgraph.diff.outcome import Outcome, decide
from circuitgraph.lenses.base import Options
from circuitgraph.stats.evidence import graded

MOST_PAIRS = 36
"""Pairs of one variant a side; with more the comparison would cost more than the diff."""


def alone(outcome: Outcome, options: Options) -> dict[str, Any] | None:
    """Claims of the checkpoint scope for every pair of one variant a side.

    With the diff's prompts, signs and margin.

    Returns
    -------
    dict or None
        ``pairs`` (names of A and B, ``n_claims``), ``n_variants``, ``shared`` (edges claimed in
        every pair with the same sign), ``n_any`` (edges claimed in any), ``estimator`` ("" where
        effects are exact). None for other scopes and lenses, for sides that overlap, too many
        pairs, and insufficient evidence of one pair.
    """
    matched = outcome.matched
    sizes = len(matched.runs_a), len(matched.runs_b)
    asked = options.scope == "recipe" and not options.lens.needs_models
    overlap = {run.id for run in matched.runs_a} & {run.id for run in matched.runs_b}
    if not asked or overlap or not 2 <= sizes[0] * sizes[1] <= MOST_PAIRS:
        return None
    if graded(options.lens.evidence, matched.n_effective) == "insufficient":
        return None
    signs = np.stack(list(_claimed(outcome, options)))  # [pairs × e]
    pairs = product(matched.runs_a, matched.runs_b)
    screened = options.lens.screened(matched.runs_a)
    return {
        "pairs": [
            {"a": a.variant.name, "b": b.variant.name, "n_claims": int(count)}
            for (a, b), count in zip(pairs, np.abs(signs).sum(1), strict=True)
        ],
        "n_variants": list(sizes),
        "shared": int((np.abs(signs.sum(0)) == len(signs)).sum()),
        "n_any": int(signs.any(0).sum()),
        "estimator": matched.runs_a[0].method.estimator if screened else "",
    }


def _claimed(outcome: Outcome, options: Options) -> Iterator[np.ndarray]:
    """Sign of every claim of every pair, 0 elsewhere; int [e]."""
    matched = outcome.matched
    for i, j in product(range(len(matched.a)), range(len(matched.b))):
        tests = options.lens.tests(matched.variants([i], [j]), "checkpoint")
        found = decide(tests, outcome.margin, options.alpha, options.fdr, enough=True)
        signs = np.zeros(len(tests), int)
        signs[found.claims] = np.sign(tests.delta[found.claims])
        yield signs


def alone_in_words(found: dict[str, Any] | None) -> list[str]:
    """One line: how many edges each variant changed, and how many all share."""
    if not found:
        return []
    claims = [pair["n_claims"] for pair in found["pairs"]]
    least, most = min(claims), max(claims)
    many = f"{least}" if least == most else f"{least} to {most}"
    variants = max(found["n_variants"])
    who, every = f"each of the {variants} variants by itself changed", "variant"
    if min(found["n_variants"]) > 1:
        who, every = f"the {len(claims)} pairs of one variant a side differ in", "pair"
    screened = f" (by {found['estimator']}, not confirmed)" if found["estimator"] else ""
    apart = found["shared"] < np.median(claims) / 2
    own = "; most of what each changed is its own" if apart else ""
    return [
        f"{who} {many} edges{screened}, {found['n_any']} different ones in all; "
        f"{found['shared']} of them in every {every} with the same sign{own}"
    ]
