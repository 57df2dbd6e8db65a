"""Stability of claims: refits on other prompts, without a scenario, a wording or a seed.

The share of refits that claim an edge, by the same test with the same margin and false
discovery control. Such inclusion probabilities say how much a claim depends on the prompts
at hand; they are no error rates (a claim at the border of significance is found in half of
all resamples).

References
----------
Meinshausen & Bühlmann (2010), Stability selection, JRSS B 72.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from circuitgraph.diff.outcome import Outcome
from circuitgraph.diff.record import REFITTED
from circuitgraph.lenses.base import Options
from circuitgraph.lenses.match import Matched
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.stats.draws import bootstrap_weights, kept_without
from circuitgraph.stats.scenarios import recode

SAMPLES = 200


def resampled_claims(
    outcome: Outcome, options: Options, samples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Claims of resamples of the prompts: int [k] edges and bool [samples × k] claims.

    All edges, or only those of the diff's claims where there are very many edges.
    """
    refits = outcome.refit(outcome.decided.claims, options)
    weights = canonical_weights(outcome.matched, samples, seed, balanced=refits.balanced)
    return refits.edges, refits.resampled(weights)


def claim_stability(outcome: Outcome, options: Options, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Inclusion probabilities of some claims (rows, int [k]): ``REFITTED``, float64 [k] each.

    ``stability`` (over bootstrap samples of prompts within scenarios), ``scenarios_left``,
    ``wordings_left`` and ``seeds_left`` (over fits without one scenario, wording or replicate; NaN
    where none can be left out, or a prompt has no wording).
    """
    if len(rows) == 0:
        return {name: np.empty(0) for name in REFITTED}
    refits = outcome.refit(rows, options)
    matched, size = outcome.matched, len(refits.edges)
    weights = canonical_weights(matched, SAMPLES, options.seed, balanced=refits.balanced)
    labels: dict[str, list[str | None]] = {
        "scenarios_left": [prompt.scenario for prompt in matched.prompts],
        "wordings_left": [prompt.template for prompt in matched.prompts],
    }
    found = {"stability": refits.resampled(weights).mean(0)}
    for name, label in labels.items():
        found[name] = _share([refits.without(kept) for kept in kept_without(label)], size)
    found["seeds_left"] = _share(refits.without_replicates(), size)
    place = np.searchsorted(refits.edges, rows)
    return {name: found[name][place] for name in REFITTED}


def _share(claims: Sequence[np.ndarray] | np.ndarray, size: int) -> np.ndarray:
    return np.mean(claims, axis=0) if len(claims) else np.full(size, np.nan)


def canonical_weights(matched: Matched, samples: int, seed: int, *, balanced: bool) -> np.ndarray:
    """Bootstrap weights of prompts, independent of their order; float64 [samples × n].

    ``balanced``: scenarios, not prompts, have equal weight.
    """
    order = canonical_order(matched.prompts, (*matched.a, *matched.b))
    codes = recode(np.array([matched.prompts[i].scenario for i in order], dtype=object))
    weights = np.empty((samples, matched.n))
    weights[:, order] = bootstrap_weights(codes, samples, seed, balanced=balanced)
    return weights


def canonical_order(prompts: Sequence[RunPrompt], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Prompts by scenario and text, int [n]: independent of the file's order and names.

    Table rows have no text, so they are ordered by their values (exact: read from a file, not
    computed; [n × …] arrays).
    """
    keys = []
    for i, prompt in enumerate(prompts):
        sets = (*prompt.also, *prompt.also_wrong)
        said = (prompt.prompt, prompt.corrupt, prompt.answer, prompt.wrong_answer, *sets)
        values = hashlib.sha256()
        if prompt.prompt is None:
            for array in arrays:
                values.update(np.ascontiguousarray(array[i]).tobytes())
        keys.append((prompt.scenario, *(text or "" for text in said), values.hexdigest()))
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=int)
