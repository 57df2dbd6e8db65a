"""What an ingest will do, decided and checked before any long work begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from circuitgraph.components import Granularity, Inputs
from circuitgraph.errors import UsageError
from circuitgraph.ingest.activity import shared_prefix
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.runs import Method, Variant, run_id
from circuitgraph.tokens import Encoded, EncodedSet, encode, require_equal_pairs

Kind = Literal["correlation", "effect"]
Activity = Literal["norm", "projection"]
Ablation = Literal["corrupt", "mean", "zero"]
Estimator = Literal["exact"]

CHOICES = {
    "estimator": get_args(Estimator),
    "inputs": get_args(Inputs),
    "granularity": get_args(Granularity),
    "activity": get_args(Activity),
    "ablation": get_args(Ablation),
}


@dataclass(frozen=True)
class Request:
    """The choices of one ingest; see the words of the command line.

    Attributes:
        kinds: edge kinds wanted; None takes what the prompt file allows.
        estimator: of effects.
        inputs: replace q, k and v together, or one at a time.
        granularity: heads or whole attention layers.
        activity: what correlations are taken of.
        ablation: what a sender's contribution is replaced by.
        chat_template: wrap prompts as one user turn.
        batch_size: prompts at once; changes speed, never results.
        ray: where else to compute: ``local``, ``auto`` or an address; speed, never results.
    """

    kinds: tuple[Kind, ...] | None = None
    estimator: Estimator = "exact"
    inputs: Inputs = "joint"
    granularity: Granularity = "head"
    activity: Activity = "norm"
    ablation: Ablation = "corrupt"
    chat_template: bool = False
    batch_size: int = 16
    ray: str | None = None

    def kinds_for(self, prompts: PromptSet) -> tuple[Kind, ...]:
        """Edge kinds this request means for these prompts.

        Raises:
            UsageError: effects or projections asked of prompts that do not allow them.
        """
        if self.batch_size < 1:
            raise UsageError("the batch size must be at least 1")
        for option, choices in CHOICES.items():
            if getattr(self, option) not in choices:
                chosen = f"{option} {getattr(self, option)!r}"
                raise UsageError(f"{chosen}: choose from {', '.join(choices)}")
        kinds = self.kinds or (
            ("correlation", "effect") if self._can(prompts) else ("correlation",)
        )
        if "effect" in kinds and not self._can(prompts):
            lacking = (
                "corrupt, answer and wrong_answer" if self.ablation == "corrupt" else "answers"
            )
            raise UsageError(
                f"{prompts.source}: has no {lacking}, which effects need; add the columns, "
                "or ask for --edges correlation"
            )
        if self.activity == "projection" and not prompts.has_answers:
            raise UsageError(
                f"{prompts.source}: has no answer and wrong_answer, which --activity projection "
                "needs; add the columns, or use --activity norm"
            )
        return kinds

    def _can(self, prompts: PromptSet) -> bool:
        return prompts.has_pairs or (self.ablation != "corrupt" and prompts.has_answers)

    def method(self, kind: Kind, encoded: EncodedSet) -> Method:
        """The method keys of the run of one edge kind."""
        shared = Method(
            kind, granularity=self.granularity, template=encoded.template, bos=encoded.bos
        )
        decision = "log-probability difference"
        if kind == "correlation":
            asked = decision if self.activity == "projection" else ""
            return replace(shared, activity=self.activity, decision=asked)
        return replace(
            shared,
            estimator=self.estimator,
            inputs=self.inputs,
            ablation=self.ablation,
            decision=decision,
        )


@dataclass(frozen=True)
class Job:
    """One run to be made.

    Attributes:
        id: of the run.
        method: its keys.
        prompts: distinct, in canonical order; the rows of its arrays.
        encoded: their token ids.
        duplicates: prompts dropped.
    """

    id: str
    method: Method
    prompts: PromptSet
    encoded: tuple[Encoded, ...]
    duplicates: int
    fingerprint: str

    @property
    def kind(self) -> str:
        """``correlation`` or ``effect``."""
        return self.method.kind


def plan(
    variant: Variant,
    tokenizer: Any,
    prompts: PromptSet,
    request: Request,
    max_positions: int | None = None,
) -> list[Job]:
    """The runs one ingest makes, every prompt encoded and checked.

    Raises:
        UsageError: the request does not fit the prompts.
        InputError: a prompt that cannot be used, with its line.
    """
    kinds = request.kinds_for(prompts)
    encoded = encode(
        prompts, tokenizer, chat_template=request.chat_template, max_positions=max_positions
    )
    if "effect" in kinds and request.ablation == "corrupt":
        require_equal_pairs(encoded.prompts, prompts.source)
    return [_job(variant, prompts, encoded, request, kind) for kind in kinds]


def _job(
    variant: Variant, prompts: PromptSet, encoded: EncodedSet, request: Request, kind: Kind
) -> Job:
    by_prompt: dict[Prompt, Encoded] = {e.source: e for e in encoded.prompts}
    # In canonical order, so that which of two spellings is kept never hangs on the file's.
    kept, duplicates = prompts.canonical().distinct(
        kind, request.activity, key=lambda prompt: _sameness(by_prompt[prompt], kind, request)
    )
    rows = tuple(by_prompt[prompt] for prompt in kept)
    if kind == "correlation" and request.activity == "projection":
        _require_distinct_answers(rows)
    method = request.method(kind, encoded)
    fingerprint = kept.fingerprint(kind, request.activity)
    return Job(run_id(variant, method, fingerprint), method, kept, rows, duplicates, fingerprint)


def _sameness(encoded: Encoded, kind: Kind, request: Request) -> tuple:
    prompt = encoded.source
    if kind == "effect":
        return (prompt.prompt, prompt.corrupt, prompt.answer, prompt.wrong_answer)
    if request.activity == "projection":
        return (encoded.prompt, encoded.answer, encoded.wrong_answer)
    return (encoded.prompt,)


def _require_distinct_answers(rows: Sequence[Encoded]) -> None:
    for row in rows:
        shared_prefix(row)
