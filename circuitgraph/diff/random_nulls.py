"""Null pairs without training: A against A with random updates of B's size.

The random updates have the singular values of W_B − W_A in every matrix and random directions.
They are measured by the method and on the prompts of the runs compared, and kept in a folder
of their own, known by both runs, seed and number of the draw. The margin that silences them is the
smallest at which the same test claims nothing there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil, floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitgraph.base.components import digest
from circuitgraph.base.errors import UsageError, quoted
from circuitgraph.diff.confirm import compare_exactly
from circuitgraph.diff.decoys import decoy_counts
from circuitgraph.diff.question import Question
from circuitgraph.diff.record import Diff
from circuitgraph.lenses.base import Models, Options
from circuitgraph.lenses.edge_tests import EdgeTests
from circuitgraph.runs.record import Run, discard_run, list_runs, now, read_run, run_id, write_run
from circuitgraph.stats.margins import adjusted, treat_p

if TYPE_CHECKING:
    from circuitgraph.models.stored import StoredModel
    from circuitgraph.updates.randomised import Randomised


STEPS = 24
"""Halvings of the interval in which the margin lies."""


def silent_at(a: Sequence[Run], b: Sequence[Run], options: Options, models: Models | None) -> float:
    """The smallest margin, from that of the options on, without claims.

    For confirmed screens, without edges claimed by both.
    """
    tests = _tests(a, b, options, models)
    low = float(options.margin or 0.0)
    if not claimed(tests, low, options):
        return low
    high = max(float(np.nanmax(np.abs(each.delta))) for each in tests)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if claimed(tests, middle, options) else (low, middle)
    digits = 10.0 ** (2 - floor(log10(high)))
    return ceil(high * digits) / digits  # as it will be typed: three digits, never too few


def claims_at(
    a: Sequence[Run], b: Sequence[Run], margin: float, options: Options, models: Models | None
) -> int:
    """Number of claims of the same test at another margin."""
    return claimed(_tests(a, b, options, models), margin, options)


def _tests(
    a: Sequence[Run], b: Sequence[Run], options: Options, models: Models | None
) -> list[EdgeTests]:
    outcome, confirmation = compare_exactly(a, b, options, models, strongest=0)
    screen = [] if confirmation is None else [confirmation.screen.tests]
    return [outcome.tests, *screen]


def claimed(tests: Sequence[EdgeTests], margin: float, options: Options) -> int:
    """Number of edges that all these tests claim at a margin."""
    found = np.ones(len(tests[0]), bool)
    for each in tests:
        p = treat_p(each.delta, each.se, each.df, margin)
        q = adjusted(np.where(each.reason > 0, np.nan, p), options.fdr)
        with np.errstate(invalid="ignore"):
            found &= q <= options.alpha
    return int(found.sum())


FOLDER = "nulls"
DRAWS = 4
"""Random updates where no number is given."""
_WORDS = re.compile(r"random(?::(\d{1,4}))?")


def draws_of(text: object) -> int | None:
    """K of ``random:K``, 4 of ``random``; None for other nulls.

    Raises
    ------
    UsageError
        ``random:0``.
    """
    found = _WORDS.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    draws = DRAWS if found[1] is None else int(found[1])
    if not draws:
        raise UsageError("``null=random:0`` draws nothing; give 1 or more")
    return draws


@dataclass(frozen=True, eq=False)
class RandomNulls:
    """Random updates in place of one pair's.

    Attributes
    ----------
    question : Question
        Of two single variants, by a lens that compares stored runs.
    folder : Path
        Of the runs of random updates.
    models : Models
    shared : dict
        By both fingerprints, models prepared for random updates; those asked of the same two
        variants on other runs may share it.
    """

    question: Question
    folder: Path
    models: Models
    shared: dict[tuple[str, str], Randomised] = field(default_factory=dict)

    def __post_init__(self) -> None:
        question, (a, b) = self.question, self.pair
        lens = question.options.lens
        if lens.needs_models:
            raise UsageError(
                f"``null=random``: the {lens.name} lens holds every channel against random updates "
                "already; leave it out"
            )
        if question.options.scope != "checkpoint":
            raise UsageError(
                "``null=random`` is of two models; replicates are the null of a recipe: leave it "
                'out, or use ``scope="checkpoint"``'
            )
        for run in (a, b):
            if not run.variant.base:
                raise UsageError(
                    f"``null=random``: {quoted(run.variant.name)} is a table, without weights that "
                    "an update could have; leave it out"
                )
        if a.method.dtype != "float32":
            raise UsageError(
                f"``null=random``: measures in float32, and these runs are of {a.method.dtype}; "
                "ingest both in float32"
            )

    @property
    def pair(self) -> tuple[Run, Run]:
        return self.question.runs_a[0], self.question.runs_b[0]

    @property
    def randomised(self) -> Randomised:
        """The model of A, prepared for random updates; loaded when first needed."""
        from circuitgraph.updates.randomised import Randomised

        a, b = (run.variant for run in self.pair)
        key = a.fingerprint, b.fingerprint
        if key not in self.shared:
            self.shared[key] = Randomised.between(a, b)
        return self.shared[key]

    def counts(self, draws: int, known: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Claims on each random update: rows of ``decoy_counts``.

        With ``random``, the seed and number of the draw, and ``silent_at``, the smallest margin
        without claims there.
        """
        found = []
        for draw in range(draws):
            run = self._planned(draw)
            again = [dict(d) for d in known if d["runs_b"] == [run.id] and "silent_at" in d]
            found.append(again[0] if again else self._count(draw, run))
        return found

    def _count(self, draw: int, planned: Run) -> dict[str, Any]:
        a, _ = self.pair
        run = self._measured(draw, planned)
        opener: Callable[[], AbstractContextManager[Any]] = partial(self.opened, draw, run)
        models = replace(self.models, at_hand={run.id: opener})
        options, margin = self.question.options, self.question.margin
        pair = self.question.a, [a], run.variant.name, [run], None
        [counted] = decoy_counts([pair], options, margin, models)
        quiet = silent_at([a], [run], replace(options, margin=margin), models)
        return {
            **counted,
            "random": {"draw": draw, "seed": options.seed},
            "silent_at": quiet,
        }

    def known(self, draw: int) -> bool:
        """Whether one draw was measured before."""
        return (self.folder / self._planned(draw).id).is_dir()

    def run_of(self, draw: int) -> Run:
        """The run of one draw, measured now where it never was."""
        return self._measured(draw, self._planned(draw))

    def _planned(self, draw: int) -> Run:
        """The run of one draw before it is measured; its id holds both runs, seed and number."""
        a, b = self.pair
        seed = self.question.options.seed
        update = digest("random", a.variant.fingerprint, b.variant.fingerprint, seed, draw)
        variant = replace(
            a.variant,
            name=f"{a.variant.name} + random update {draw + 1}",
            recipe="",
            fingerprint=update,
            fingerprints={"random": update},
        )
        kept = {"random": {"of": [a.id, b.id], "seed": seed, "draw": draw}}
        name = run_id(variant, a.method, a.prompts_fingerprint)
        return replace(a, id=name, variant=variant, self_check=kept, path=None, _arrays=None)

    def _measured(self, draw: int, planned: Run) -> Run:
        """The run of one draw, measured unless kept."""
        if (self.folder / planned.id).is_dir():
            return read_run(self.folder / planned.id)
        from circuitgraph.ingest.compute import measured_again

        with self.opened(draw, planned) as model:
            arrays: dict[str, np.ndarray] = measured_again(
                planned, model.engine, self.randomised.hf, model.prompts, self.folder,
                self.models.reporter,
            )  # fmt: skip
        return write_run(replace(planned, created=now(), _arrays=arrays), self.folder)

    @contextmanager
    def opened(self, draw: int, run: Run) -> Iterator[StoredModel]:
        """The model of one draw with the prompts of its run, for the time of the block."""
        from circuitgraph.models.stored import StoredModel, reencoded

        prompts = reencoded(self.pair[0], self.randomised.tokenizer)
        seed = self.question.options.seed
        with self.randomised.engine(seed, draw, prompts[0].prompt) as engine:
            yield StoredModel(run, engine, self.randomised.tokenizer)  # type: ignore[arg-type]


def forget(folder: Path, gone: set[str]) -> None:
    """Remove the random updates of pairs with a removed run."""
    for run in list_runs(folder):
        if gone & set(run.self_check["random"]["of"]):
            discard_run(run)


def with_silence(diff: Diff, question: Question, models: Models) -> Diff:
    """The diff with ``summary["random"]``, a summary of its random updates.

    ``draws``, ``seed``, ``claims`` of each, ``silent_at`` (the smallest margin without claims in
    any of them) and ``left``, the pair's own claims at that margin. None without random updates.
    """
    drawn = [decoy for decoy in diff.summary["decoys"] if decoy.get("random")]
    before = diff.summary.get("random")
    if not drawn:
        return diff if before is None else replace(diff, summary={**diff.summary, "random": None})
    found = {
        "draws": len(drawn),
        "seed": drawn[0]["random"]["seed"],
        "claims": [decoy["n_claims"] for decoy in drawn],
        "silent_at": max(decoy["silent_at"] for decoy in drawn),
    }
    if before is not None and {**before, "left": 0} == {**found, "left": 0}:
        return diff
    left = diff.summary["n_claims"]
    if left and found["silent_at"] > question.margin:
        options = replace(question.options, margin=question.margin)
        pair = question.runs_a, question.runs_b
        left = claims_at(*pair, found["silent_at"], options, models)
    return replace(diff, summary={**diff.summary, "random": {**found, "left": left}})
