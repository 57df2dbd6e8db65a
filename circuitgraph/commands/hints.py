"""Hints at the next command, one line each on stderr."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuitgraph.commands.options import from_environment, settings
from circuitgraph.commands.terminal import NEXT

if TYPE_CHECKING:
    from circuitgraph.diff.record import Diff
    from circuitgraph.runs.record import Run

LONGEST = 1000
"""Characters of a command worth copying: names may be 65,000 long."""


def hint(*words: object) -> None:
    """Print a command on stderr, to be copied; nothing with ``quiet`` or ``as_json``."""
    chosen = settings()
    if chosen.quiet or chosen.as_json:
        return
    where = [] if chosen.workspace == from_environment().workspace else ["-w", chosen.workspace]
    store = [] if chosen.store is None else ["--store", chosen.store]
    line = shlex.join(["circuitgraph", *where, *store, *map(str, words)])
    if line.isprintable() and len(line) <= LONGEST:
        chosen.reporter.remark(NEXT + line)


def after_ingest(runs: Sequence[Run], model: str, adapter: object, prompts: object) -> None:
    """Hint at comparing with the oldest comparable variant, or at ingesting another one."""
    from circuitgraph.runs.comparable import comparison_key

    name, keys = runs[0].variant.name, {comparison_key(run) for run in runs}
    alike = [run for run in settings().catalogue().runs if comparison_key(run) in keys]
    if others := [run.variant.name for run in alike if run.variant.name != name]:
        hint("diff", others[0], name)
    elif adapter is None:
        hint("ingest", model, "--adapter", "DIR", "--name", "tuned", "--prompts", prompts)
    else:
        hint("ingest", model, "--name", "base", "--prompts", prompts)


def after_diff(diff: Diff, lens: str | None) -> None:
    """Hint at explaining the strongest claim, or at levels where there is no claim."""
    asked = [] if lens is None else ["--lens", lens]
    if diff.scope != "checkpoint":
        asked += ["--scope", diff.scope]
    if not diff.claims.empty:
        strongest = int(diff.claims["delta"].abs().to_numpy().argmax())
        source, target = (diff.claims[end].iloc[strongest] for end in ("source", "target"))
        hint("explain", source, target, diff.a, diff.b, *asked)
    elif not diff.insufficient and diff.scope == "checkpoint":
        hint("levels", diff.a, diff.b)
