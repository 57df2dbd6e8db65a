"""The options of one ingest, checked before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

from circuitgraph.base.components import (
    STEPS,
    Ablation,
    Activity,
    Dtype,
    EdgeKind,
    Granularity,
    Inputs,
    Wanted,
)
from circuitgraph.base.errors import UsageError
from circuitgraph.prompts import PromptSet
from circuitgraph.prompts.tokens import EncodedSet
from circuitgraph.runs.record import Method

CHOICES = {
    "estimator": get_args(Wanted),
    "inputs": get_args(Inputs),
    "granularity": get_args(Granularity),
    "activity": get_args(Activity),
    "ablation": get_args(Ablation),
    "dtype": get_args(Dtype),
}


@dataclass(frozen=True)
class Request:
    """The options of one ingest.

    Attributes
    ----------
    kinds : tuple, optional
        Edge kinds; by default all that the prompt file allows.
    estimator : str
        ``auto`` is exact where that is affordable, else ``receiver-exact`` with the exact effect
        of a random sample of edges, else ``eap`` (a diff then measures its claims exactly).
    steps : int
        Backward passes of ``eap-ig``.
    inputs : {"joint", "split"}
        Patch q, k and v together, or one at a time.
    granularity : {"head", "layer"}
    activity : {"norm", "projection"}
        Of correlations.
    ablation : {"corrupt", "mean", "zero"}
        Replacement of a sender's contribution.
    chat_template : bool
        Wrap prompts as one user turn.
    template_date : str, optional
        Day (``YYYY-MM-DD``) of a template that asks for the time; by default the recorded one,
        else today.
    batch_size : int
        Prompts at once; changes speed, never results.
    memory : float, optional
        Bytes the process may hold; by default what the batches take.
    budget : float, optional
        Seconds for effects: ``auto`` is then the most exact estimator that fits, and what does
        not fit is refused; by default half an hour of two laptop cores.
    device : str
        ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    dtype : str
        Of weights and activations; effects need ``float32``.
    tf32 : bool
        Let a CUDA device round the inputs of matrix products to 10 bits.
    ray : str, optional
        ``local``, ``auto`` or an address; changes speed, never results.
    """

    kinds: tuple[EdgeKind, ...] | None = None
    estimator: Wanted = "auto"
    steps: int = STEPS
    inputs: Inputs = "joint"
    granularity: Granularity = "head"
    activity: Activity = "norm"
    ablation: Ablation = "corrupt"
    chat_template: bool = False
    template_date: str | None = None
    batch_size: int = 16
    memory: float | None = None
    budget: float | None = None
    device: str = "cpu"
    dtype: Dtype = "float32"
    tf32: bool = False
    ray: str | None = None

    def kinds_for(self, prompts: PromptSet) -> tuple[EdgeKind, ...]:
        """Edge kinds of this request for these prompts.

        Raises
        ------
        UsageError
            Options that are unknown, contradict each other, or do not fit the prompts.
        """
        if self.batch_size < 1:
            raise UsageError("the batch size must be at least 1")
        if self.steps < 1:
            raise UsageError("eap-ig takes at least 1 step")
        for option, choices in CHOICES.items():
            if getattr(self, option) not in choices:
                chosen = f"{option} {getattr(self, option)!r}"
                raise UsageError(f"{chosen}: choose from {', '.join(choices)}")
        kinds = self.kinds or (
            ("correlation", "effect") if self._can(prompts) else ("correlation",)
        )
        if "effect" in kinds and not self._can(prompts):
            lacking = prompts.lacking if self.ablation == "corrupt" else "answers"
            hint = f" ({prompts.misspelt})" if prompts.misspelt else ""
            without = 'use ``ablation="mean"``, or ' if prompts.has_answers else "or "
            raise UsageError(
                f"{prompts.source}: has no {lacking}, which effects need{hint}; add the columns, "
                f'{without}ask for ``edges="correlation"``'
            )
        self._require_compatible()
        if "effect" in kinds and self.dtype != "float32":
            raise UsageError(
                f"``dtype={self.dtype}``: most effects are smaller than its rounding; measure them "
                'in float32 (``tf32`` is faster on CUDA), or ask for ``edges="correlation"``'
            )
        if self.activity == "projection" and not prompts.has_answers:
            raise UsageError(
                f"{prompts.source}: has no answer and wrong_answer, which "
                '``activity="projection"`` needs; add the columns, or use ``activity="norm"``'
            )
        return kinds

    def _require_compatible(self) -> None:
        if self.tf32 and self.dtype != "float32":
            raise UsageError(f"``tf32`` rounds float32; leave it out, or ``dtype={self.dtype}``")
        if self.ray is not None and self.memory is not None:
            raise UsageError(
                "``memory`` bounds one process; with ``ray`` give the workers less to do"
            )

    def _can(self, prompts: PromptSet) -> bool:
        return prompts.has_pairs or (self.ablation != "corrupt" and prompts.has_answers)

    def method(self, kind: EdgeKind, encoded: EncodedSet) -> Method:
        """The method keys of the run of one edge kind; ``auto`` is not decided yet."""
        shared = Method(
            kind,
            granularity=self.granularity,
            template=encoded.template,
            bos=encoded.bos,
            dtype="tf32" if self.tf32 else self.dtype,
        )
        decision = "log-probability difference"
        if kind == "correlation":
            asked = decision if self.activity == "projection" else ""
            return replace(shared, activity=self.activity, decision=asked)
        return replace(
            shared,
            estimator=self.estimator,
            steps=self.steps if self.estimator == "eap-ig" else 0,
            inputs=self.inputs,
            ablation=self.ablation,
            decision=decision,
        )
