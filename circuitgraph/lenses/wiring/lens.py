"""The wiring lens: its options, and what it compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from circuitgraph.base.errors import UsageError
from circuitgraph.lenses.base import EdgeRow, Lens, Measured, Models, Options, require_choice
from circuitgraph.lenses.edge_tests import TESTABLE, EdgeTests, LensDetails
from circuitgraph.lenses.match import Matched
from circuitgraph.lenses.wiring import checkpoint, recipe
from circuitgraph.lenses.wiring.against_base import base_of
from circuitgraph.lenses.wiring.record import Channels
from circuitgraph.lenses.wiring.words import (
    FACTOR,
    channel,
    needed,
    random_updates,
    whole_receivers,
)
from circuitgraph.runs.record import Run

FORMS = ("weights", "functional")
SIZE, RELATIVE = "size of the channel", "relative change of the channel, 0 to 1"
AGAINST_BASE = "relative change of the channel against the base"
DRAWS = 1000
"""Random updates that two models are held against; replicates are the null of a recipe."""
ASSUMED = (0.088, 0.113)
"""Relative change of the virtual weights into one receiver, its median: the median receiver
and the ninth decile, of the deontological against the utilitarian training in ``examples/ipd``
(‖ΔW‖/‖W‖ .14 from the base each)."""

COMPARED = {
    "weights": (
        "compared is what receivers read of senders, weights on signals that both models share; "
        "a claim stands out among all that its receiver reads"
    ),
    "functional": (
        "compared is what receivers put out when senders write the same in both models; a claim "
        "stands out among all that its receiver reads"
    ),
}

OF_RECIPES = (
    "weights are changes against the base all come from; tested is how far each stands "
    "out among all that its receiver reads: a claim is apart by a factor of 4 (in "
    "squares), and surely by 2"
)


@dataclass(frozen=True)
class Wiring(Lens):
    """Does a receiver read the same signal differently?

    Attributes
    ----------
    form : {"weights", "functional"}
        Compare read and write weights on common signals, or the receivers' outputs.
    shared_basis : bool
        Compare weights although the models are not known to share a basis; by weights only.
    """

    name: ClassVar[str] = "wiring"
    needs_models: ClassVar[bool] = True
    margin: ClassVar[float] = checkpoint.MARGIN
    max_margin: ClassVar[float] = 1.0
    edge: ClassVar[str] = "a channel"
    planned: ClassVar[str] = (
        "wiring: relative change of a channel (0 to 1); it must be twice that of the "
        "receiver's median channel, by weights alone here; more prompts change little"
    )

    form: str = "weights"
    shared_basis: bool = False

    def __post_init__(self) -> None:
        require_choice("form", self.form, FORMS)
        if self.shared_basis and self.form != "weights":
            raise UsageError("shared_basis: applies to wiring by weights only; leave it out")

    @property
    def key(self) -> tuple[Any, ...]:
        return ("share", self.form, self.shared_basis, False)

    @property
    def quantity(self) -> str:
        return "Size of the channel"

    @property
    def unit(self) -> str:
        return RELATIVE

    def signed(self, scope: str) -> bool:
        """Two models' channels differ without a sign; groups differ by more or by less."""
        return scope == "recipe"

    def units(self, scope: str) -> dict[str, str]:
        if scope == "recipe":
            groups = dict.fromkeys(("weight_a", "weight_b"), AGAINST_BASE)
            return {**groups, "delta": f"difference of the {AGAINST_BASE}"}
        return {"weight_a": SIZE, "weight_b": SIZE, "delta": RELATIVE}

    def heads(self, scope: str) -> dict[str, str]:
        name, change = ("change", "apart") if scope == "recipe" else ("size", "change")
        return {"weight_a": f"{name}_a", "weight_b": f"{name}_b", "delta": change}

    def require(self, runs: Sequence[Run]) -> None:
        from circuitgraph.models.stored import require_sources

        require_sources(runs)

    def measure(
        self, a: Sequence[Run], b: Sequence[Run], options: Options, models: Models | None
    ) -> Measured:
        if options.scope == "recipe":
            base = self.base_of(a, b, models)

            def between(first: Run, second: Run) -> Channels:
                return self.channels(first, second, models, draws=0, seed=options.seed)

            return recipe.measure(self.lined_up(a, b), base, between, options)
        matched = self.lined_up(a, b)
        channels = self.channels(a[0], b[0], models, draws=DRAWS, seed=options.seed)
        return checkpoint.measure(matched, channels, options)

    def channels(self, a: Run, b: Run, models: Models | None, *, draws: int, seed: int) -> Channels:
        """Channels between the models of two runs; see ``wiring.measure``."""
        from circuitgraph.lenses.wiring.measure import channels_of

        known = _required(models)
        chosen: dict[str, Any] = {"form": self.form, "shared_basis": self.shared_basis}
        chosen |= {"reporter": known.reporter, "resources": known.resources}
        return channels_of(a, b, **chosen, draws=draws, seed=seed)

    def base_of(self, a: Sequence[Run], b: Sequence[Run], models: Models | None) -> Run:
        """The run of the common base of both sides."""
        return base_of(a, b, _required(models).runs)

    def alike(self, matched: Matched, tests: EdgeTests, share: float) -> bool:
        """Whether no channel changed (their norms can agree while the direction changed)."""
        delta = tests.delta[tests.reason == TESTABLE]
        return bool(len(delta)) and not delta.any()

    def same_in_words(self) -> str:
        return "all channels are identical"

    def yardstick(self, measured: Measured, margin: float, seed: int) -> dict[str, Any]:
        """Channels that change beyond the margin, and the expected claims under random updates.

        ``self``, A against itself, is 0 by construction; ``expected`` is None without such a null.
        """
        with np.errstate(invalid="ignore"):
            observed = int(np.count_nonzero(np.abs(measured.tests.delta) > margin))
        return {
            "self": {"margin": 0.0},
            "observed": {"margin": observed},
            "expected": measured.lens_details.random_claims,
        }

    def yardstick_in_words(self, yardstick: Mapping[str, Any], name: str) -> str:
        return random_updates(yardstick, name)

    def smallest(self, moved: tuple[float, float] | None) -> tuple[float, float]:
        """Twice the change of the median channel into a typical and a noisy receiver."""
        typical, noisy = moved or ASSUMED
        return FACTOR * typical, FACTOR * noisy

    def outlook(self, measured: Measured, margin: float) -> Iterator[str]:
        return needed(measured, margin)

    def remarks(self, measured: Measured, options: Options, margin: float) -> Iterator[str]:
        yield COMPARED[self.form]
        if options.scope == "recipe":
            yield OF_RECIPES
        else:
            yield from whole_receivers(measured.tests, margin)

    def by_prompt(
        self, matched: Matched, rows: pd.DataFrame, lens_details: LensDetails
    ) -> Iterator[dict[str, np.ndarray]]:
        for edge in rows.index:
            yield {name: values[:, edge] for name, values in lens_details.by_prompt.items()}

    def in_words(self, edge: EdgeRow) -> list[str]:
        return channel(edge)


def _required(models: Models | None) -> Models:
    if models is None:
        raise UsageError(
            "wiring compares the models themselves: use Workspace.diff, which loads them"
        )
    return models
