"""How to compare: everything a user can choose about a diff, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from circuitgraph.base.errors import UsageError

_CHOICES = {
    "lens": ("correlation", "effect", "wiring"),
    "scope": ("checkpoint", "recipe"),
    "scale": ("share", "logit"),
    "fdr": ("bh", "by"),
    "form": ("weights", "functional"),
}


@dataclass(frozen=True)
class Options:
    """Choices behind a diff.

    Attributes:
        lens: ``correlation``, ``effect`` or ``wiring``.
        scope: ``checkpoint`` (these two models differ) or ``recipe`` (this training
            does it).
        alpha: false discovery rate of the claims.
        margin: smallest change that matters; None for the lens' default.
        scale: ``share`` (blind to gain) or ``logit`` (decision units); effects only.
        rank: correlations of normal scores instead of activities.
        fdr: ``bh`` or ``by``.
        seed: of the yardstick's bootstrap; of the random updates behind the wiring lens.
        form: ``weights`` (on common signals) or ``functional`` (the receivers' own outputs);
            wiring only.
        shared_basis: the user's word that both models' weights share one basis; wiring by
            weights only.

    Raises:
        UsageError: an unknown choice, or one that does not apply to the lens.
    """

    lens: str
    scope: str = "checkpoint"
    alpha: float = 0.05
    margin: float | None = None
    scale: str = "share"
    rank: bool = False
    fdr: str = "bh"
    seed: int = 0
    form: str = "weights"
    shared_basis: bool = False

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"{name}: {getattr(self, name)!r} is unknown; choose {' or '.join(allowed)}"
                )
        if not 0 < self.alpha < 1:
            raise UsageError(f"alpha: {self.alpha} is not between 0 and 1")
        if self.margin is not None and not (isfinite(self.margin) and self.margin >= 0):
            raise UsageError(f"margin: {self.margin} is not a number of at least 0")
        if self.lens == "wiring" and self.margin is not None and self.margin > 1:
            raise UsageError(f"margin: {self.margin} is more than a channel can change, which is 1")
        if self.rank and self.lens != "correlation":
            raise UsageError("rank: applies to the correlation lens only; leave it out")
        if self.scale == "logit" and self.lens != "effect":
            raise UsageError("scale: logit applies to the effect lens only; leave it out")
        if self.form != "weights" and self.lens != "wiring":
            raise UsageError(f"form: {self.form} applies to the wiring lens only; leave it out")
        if self.shared_basis and (self.lens != "wiring" or self.form != "weights"):
            raise UsageError(
                "shared_basis: applies to the wiring lens by weights only; leave it out"
            )
