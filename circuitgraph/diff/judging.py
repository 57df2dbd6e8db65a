"""One way to a judged comparison for every lens, and what it may ask of the models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from circuitgraph.base.errors import UsageError
from circuitgraph.diff.confirm import STRONGEST, Confirmation, Exactly, judge_exactly
from circuitgraph.diff.options import Options
from circuitgraph.diff.outcome import Outcome, require_single
from circuitgraph.lenses.wiring import checkpoint as wiring
from circuitgraph.lenses.wiring import recipe as wiring_recipe
from circuitgraph.lenses.wiring.record import Channels
from circuitgraph.runs.record import Run


@dataclass(frozen=True)
class Models:
    """What a comparison asks of the models behind its runs; None where nobody answers.

    Attributes:
        exactly: exact effects of some edges of a screened run.
        channels: changes of all channels between the models of two runs; takes ``form``,
            ``shared_basis``, ``seed`` and ``draws``.
        base: the run of the model that the variants of both sides come from.
    """

    exactly: Exactly | None = None
    channels: Callable[..., Channels] | None = None
    base: Callable[[Sequence[Run], Sequence[Run]], Run] | None = None


def judged(
    a: Sequence[Run],
    b: Sequence[Run],
    options: Options,
    models: Models,
    strongest: int = STRONGEST,
) -> tuple[Outcome, Confirmation | None]:
    """Judge two sides; where their effects are estimates, confirm the claims.

    Raises
    ------
    UsageError
        The sides cannot be compared, or the wiring lens has no models to ask.
    InputError
        Models cannot be loaded again.
    """
    if options.lens != "wiring":
        return judge_exactly(a, b, options, models.exactly, strongest)
    require_single(a, b, options)
    channels, base = models.channels, models.base
    if channels is None or (base is None and options.scope == "recipe"):
        raise UsageError(
            "wiring compares the models themselves: use Workspace.diff, which loads them"
        )

    chosen = {"form": options.form, "shared_basis": options.shared_basis, "seed": options.seed}
    if base is not None and options.scope == "recipe":  # replicates are the null there
        between = partial(channels, **chosen, draws=0)
        return wiring_recipe.judge(a, b, options, between, base(a, b)), None
    return wiring.judge(a, b, options, partial(channels, **chosen)), None
