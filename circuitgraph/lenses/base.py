"""What a lens is: a question about edges, with its own options, that any diff can ask."""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar, Protocol

from circuitgraph.base.errors import UsageError


class Lens(Protocol):
    """A question about the edges of two models.

    A lens is a small frozen dataclass that inherits from this class. Its fields are the
    options that only this lens has, checked when it is made; all else that a diff must know of
    it stands in the attributes and methods below. ``lenses.registry`` knows lenses by name.

    Attributes
    ----------
    name : str
        What users call it; the column ``lens`` of tables.
    run_kind : str
        Kind of the runs it compares; "" where it takes either kind.
    scopes : tuple of str
        Which of ``checkpoint`` and ``recipe`` it can answer.
    needs_models : bool
        Whether it loads the models behind the runs again.
    directed : bool
        Whether an edge from s to t is another one than that from t to s.
    evidence : (int, int)
        Prompts beyond scenarios below which evidence is insufficient, and below which it is low.
    margin : float
        Smallest change that matters, where none is given, in the units of ``delta``.
    max_margin : float
        Beyond this no margin makes sense.
    """

    name: ClassVar[str]
    run_kind: ClassVar[str] = ""
    scopes: ClassVar[tuple[str, ...]] = ("checkpoint", "recipe")
    needs_models: ClassVar[bool] = False
    directed: ClassVar[bool] = True
    evidence: ClassVar[tuple[int, int]] = (5, 20)
    margin: ClassVar[float]
    max_margin: ClassVar[float] = inf

    @property
    def key(self) -> tuple[Any, ...]:
        """Its options as they enter the id of a diff."""
        ...

    def signed(self, scope: str) -> bool:
        """Whether a change has a sign."""
        return True


def require_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse what is none of the choices.

    Raises
    ------
    UsageError
        Names the choices.
    """
    if value not in allowed:
        raise UsageError(f"{name}: {value!r} is unknown; choose {' or '.join(map(str, allowed))}")
