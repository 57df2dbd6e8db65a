"""Results of ``check``, and the conditions of its ``fail_on``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from circuitgraph.base.errors import ConditionMet, UsageError, quoted

if TYPE_CHECKING:
    import pandas as pd


Format = Literal["bf16", "fp16", "nf4", "q4_0"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""Formats of few bits that weights are stored in."""

Word = Literal["alive", "nearly erased", "erased", "identical", "wrong base"]
WORDS: tuple[Word, ...] = get_args(Word)

ERASED = 0.05
"""Share of an update below which it is called erased."""
NEARLY = 0.2
"""Share below which it is called nearly erased."""
UNTRAINED = 1e-5
"""‖ΔW‖/‖W‖ below which an update is as good as none."""


@dataclass(frozen=True)
class Verdict:
    """Verdict on an update: word, number and sentence.

    Attributes
    ----------
    word : str
        One of ``WORDS``.
    share : float or None
        Share of the update that is left in the weights; None where it cannot be said.
    changed, tensors : int
        Tensors that differ from the base's, and tensors there are.
    sentence : str
        All of it in words.
    """

    word: Word
    share: float | None
    changed: int
    tensors: int
    sentence: str

    @property
    def exit_code(self) -> int:
        """0 alive; 3 nothing or nearly nothing is left; 1 another base."""
        return {"alive": 0, "wrong base": 1}.get(self.word, 3)


def word_of(share: float, change: float) -> Word:
    """Verdict on a nonzero update by its survival and relative size."""
    if not share >= ERASED:
        return "erased"
    return "nearly erased" if share < NEARLY or change < UNTRAINED else "alive"


@dataclass(frozen=True)
class Touched:
    """One tensor that an update changes.

    Attributes
    ----------
    tensor, module, layer
        Its name, its kind, and the block it belongs to (None outside of them).
    values, moved : int
        Its numbers, and how many of them differ from the base's.
    update, weight : float
        ‖ΔW‖ and ‖W‖ (Frobenius).
    rank : float
        Effective rank of ΔW; NaN where nothing is left.
    left, error : mapping
        By format (an adapter), or by ``adapter`` (a model whose adapter is at hand) or
        ``estimate``: ⟨ΔW_left, ΔW⟩/‖ΔW‖² and ‖ΔW_left − ΔW‖/‖ΔW‖.
    """

    tensor: str
    module: str
    layer: int | None
    values: int
    moved: int
    update: float
    weight: float
    rank: float
    left: Mapping[str, float]
    error: Mapping[str, float]

    @property
    def change(self) -> float:
        """‖ΔW‖ / ‖W‖."""
        return self.update / self.weight if self.weight else float("nan")


@dataclass(frozen=True)
class Moves:
    """Change of decisions, compared with random updates of equal spectrum.

    Attributes
    ----------
    measure : str
        ``decision``, mean |change of the decision| in nats; ``kl``, of the next token.
    move : float
        Of the update; scenarios weigh alike.
    nulls : tuple of float
        Of the random updates.
    prompts : int
        Prompts asked.
    """

    measure: str
    move: float
    nulls: tuple[float, ...]
    prompts: int

    @property
    def p(self) -> float:
        """(1 + random updates that move at least as much) / (K + 1)."""
        return (1 + sum(null >= self.move for null in self.nulls)) / (len(self.nulls) + 1)

    @property
    def moved(self) -> bool:
        """Whether it changes decisions more than every random update."""
        return all(self.move > null for null in self.nulls)


@dataclass(frozen=True)
class Check:
    """Result of a check: verdict and change by tensor.

    Attributes
    ----------
    base, model : str
        What was held against what.
    kind : {"adapter", "model"}
    verdict : Verdict
    change : float
        ‖ΔW‖/‖W‖ over the tensors touched.
    touched : tuple of Touched
        One a tensor that the update changes.
    left, error : mapping
        Over all of them, by format; see ``Touched``.
    grids : mapping
        Of a whole model: how many matrices lie on which grid, ``base`` and ``model``.
    moves : Moves or None
        With prompts.
    remarks : tuple of str
        What else a reader must know.
    """

    base: str
    model: str
    kind: str
    verdict: Verdict
    change: float
    touched: tuple[Touched, ...]
    left: Mapping[str, float]
    error: Mapping[str, float]
    grids: Mapping[str, Mapping[str, int]]
    moves: Moves | None
    remarks: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Check({self.verdict.word}: {self.verdict.sentence})"

    @property
    def table(self) -> pd.DataFrame:
        """One row per changed tensor; see ``Touched``."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """The rows of ``table``."""
        return [_row(one) for one in self.touched]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, ``verdict`` first."""
        moves = None if self.moves is None else asdict(self.moves) | {
            "p": self.moves.p, "moved": self.moves.moved,
        }  # fmt: skip
        return {
            "verdict": {**asdict(self.verdict), "exit_code": self.verdict.exit_code},
            "base": self.base,
            "model": self.model,
            "kind": self.kind,
            "change": self.change,
            "left": dict(self.left),
            "error": dict(self.error),
            "grids": {side: dict(found) for side, found in self.grids.items()},
            "moves": moves,
            "remarks": list(self.remarks),
            "tensors": self.rows(),
        }


_COLUMNS = ("tensor", "module", "layer", "values", "moved", "update", "weight", "change", "rank")


def _row(one: Touched) -> dict[str, Any]:
    row = {name: getattr(one, name) for name in _COLUMNS}
    row |= {f"left_{name}": share for name, share in one.left.items()}
    return row | {f"error_{name}": share for name, share in one.error.items()}


_FINDINGS: dict[str, Callable[[Check], bool]] = {
    "erased": lambda check: check.verdict.word in ("nearly erased", "erased", "identical"),
    "changed": lambda check: check.verdict.changed > 0,
    "unmoved": lambda check: check.moves is not None and not check.moves.moved,
}
CONDITIONS = (*_FINDINGS, *(f"lost-in-{name}" for name in FORMATS))
"""``erased``: nothing or nearly nothing is left. ``changed``: any weight differs. ``unmoved``:
decisions move no further than under some random update. ``lost-in-FORMAT``: merged in that format
less than a fifth of an adapter would be left."""


def require_conditions(names: Sequence[str], *, prompts: bool, adapter: bool) -> None:
    """Refuse unknown conditions, and those that were not measured.

    Raises
    ------
    UsageError
        Before anything is loaded.
    """
    for name in names:
        if name not in CONDITIONS:
            known = ", ".join(CONDITIONS)
            raise UsageError(f"``fail_on``: {quoted(name)} is unknown; choose from {known}")
        if name == "unmoved" and not prompts:
            raise UsageError("``fail_on=unmoved``: decisions need ``prompts``; give them")
        if name.startswith("lost-in-") and not adapter:
            raise UsageError(
                f"``fail_on={name}``: is asked of an adapter, and this is a whole model; give the "
                "adapter in its place"
            )


def met(check: Check, names: Sequence[str]) -> list[str]:
    """Conditions that a check meets; none for another base."""
    if check.verdict.word == "wrong base":
        return []
    return [name for name in names if _holds(check, name)]


def _holds(check: Check, name: str) -> bool:
    if name in _FINDINGS:
        return _FINDINGS[name](check)
    return not check.left.get(name.removeprefix("lost-in-"), 0.0) >= NEARLY


def require_none(found: Sequence[str]) -> None:
    """Fail where a condition is met.

    Raises
    ------
    ConditionMet
        Names them.
    """
    if found:
        raise ConditionMet(f"``fail_on``: {', '.join(found)}")
