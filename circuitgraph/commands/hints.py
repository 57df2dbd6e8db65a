"""Hints at the next command, one line each on stderr."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from circuitgraph.commands.options import from_environment, settings
from circuitgraph.commands.terminal import NEXT

if TYPE_CHECKING:
    from circuitgraph.diff.record import Diff
    from circuitgraph.runs.record import Run

LONGEST = 1000
"""Characters of a command worth copying: names may be 65,000 long."""
METHOD = (
    *("edges", "estimator", "steps", "split_inputs", "granularity", "activity", "ablation"),
    *("chat_template", "template_date", "dtype", "tf32"),
)
"""Options of ingest that two variants must share to be compared."""


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

    own, keys = runs[0].variant, {comparison_key(run) for run in runs}
    alike = [run for run in settings().catalogue().runs if comparison_key(run) in keys]
    if others := [run.variant for run in alike if run.variant.name != own.name]:
        first, second = others[0], own
        if first.adapter and not own.adapter:
            first, second = own, first
        hint("diff", first.name, second.name)
        return
    another = ["--name", "base"] if adapter is not None else ["--adapter", "DIR", "--name", "tuned"]
    hint("ingest", model, *another, "--prompts", prompts, *_method_given())


def _method_given() -> list[str]:
    """The options given that another ingest needs too, or its runs cannot be compared."""
    context, words = click.get_current_context(), []
    for option in context.command.params:
        name = option.name or ""
        if name in METHOD and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            value = context.params[name]
            words += [option.opts[0], *([] if value is True else [str(value)])]
    return words


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
