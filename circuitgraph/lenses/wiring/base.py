"""The common base model of the variants compared."""

from __future__ import annotations

from collections.abc import Sequence

from circuitgraph.base.errors import UsageError
from circuitgraph.runs.comparable import comparison_key
from circuitgraph.runs.record import Run


def base_of(a: Sequence[Run], b: Sequence[Run], stored: Sequence[Run]) -> Run:
    """The run of the model both sides were trained from, with the same method.

    The base of their adapters. Full models do not name a base, so one that is alone on its side,
    a fixed reference, is taken for it.

    Raises
    ------
    UsageError
        The variants have no base in common, or it was never ingested.
    """
    tuned = [run for run in (*a, *b) if run.variant.adapter]
    if not tuned:
        return _reference(a, b)
    bases = {run.variant.fingerprints.get("weights"): run.variant.base for run in tuned}
    if len(bases) > 1:
        raise UsageError(
            f"the adapters compared belong to different bases ({', '.join(bases.values())}); "
            "the wiring of recipes is compared by what each changed in one base"
        )
    for run in (*a, *b, *reversed(stored)):  # the base as it was named, before its doubles
        same = run.variant.fingerprints.get("weights") in bases and not run.variant.adapter
        if same and comparison_key(run) == comparison_key(tuned[0]):
            return run
    raise UsageError(
        "the wiring of recipes is compared by what each changed in the base, "
        f"{tuned[0].variant.base}: ingest that without an adapter, on the same prompts with "
        "the same options"
    )


def _reference(a: Sequence[Run], b: Sequence[Run]) -> Run:
    if min(len(a), len(b)) == 1:
        return a[0] if len(a) == 1 else b[0]
    raise UsageError(
        "the wiring of recipes is compared by what each changed in their base, and full models "
        "do not say which that is: compare each group with the base as the other side"
    )
