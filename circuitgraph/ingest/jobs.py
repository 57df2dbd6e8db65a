"""The plan of an ingest, decided and checked before any long work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from circuitgraph.base.components import (
    Ablation,
    Activity,
    Dtype,
    EdgeKind,
    Granularity,
    Inputs,
    Wanted,
)
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.engine.families.common import embedded
from circuitgraph.engine.families.rotary import longest
from circuitgraph.engine.interface import STEPS
from circuitgraph.ingest.activity import shared_prefix
from circuitgraph.ingest.estimate import (
    AFFORDABLE,
    affordable,
    number_of_edges,
    rate_here,
    what_fits,
)
from circuitgraph.ingest.screen import sample_of
from circuitgraph.ingest.shape import Shape
from circuitgraph.models.variants import LoadedVariant
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.kept import RunPrompt
from circuitgraph.prompts.template import Moment
from circuitgraph.prompts.tokens import Encoded, EncodedSet, encode, require_equal_pairs
from circuitgraph.runs.identity import decisive, fingerprint, in_order, pairs_of, tokens_of
from circuitgraph.runs.record import Method, run_id

MOST_EDGES = 5_000_000
"""Of a mixture of experts, whose experts are components beside heads."""

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
            raise UsageError(
                f"{prompts.source}: has no {lacking}, which effects need{hint}; add the columns, "
                'or ask for ``edges="correlation"``'
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


@dataclass(frozen=True)
class Job:
    """One run to be made.

    Attributes
    ----------
    prompts : PromptSet
        Distinct, in canonical order; the rows of its arrays.
    encoded : tuple of Encoded
    duplicates : int
    fingerprint : str
        Of the prompts, as token ids.
    sample : tuple of int
        Edges measured exactly beside ``receiver-exact``, for its quality.
    fits : str
        Time of each choice under a time budget, in words.
    tokens : tuple of str
        Hash of each prompt's token ids.
    pairs : tuple of (str or None, int)
        Observation of each prompt; see ``identity.pairs_of``.
    prompt_set : str
        Hash of the file's texts, whatever the tokenizer.
    rendered : mapping
        The first prompt in the chat template, and its day.
    """

    id: str
    method: Method
    prompts: PromptSet
    encoded: tuple[Encoded, ...]
    duplicates: int
    fingerprint: str
    sample: tuple[int, ...] = ()
    fits: str = ""
    tokens: tuple[str, ...] = ()
    pairs: tuple[tuple[str | None, int], ...] = ()
    prompt_set: str = ""
    rendered: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.method.kind

    def on(self, shape: Shape) -> Job:
        """The same job once a forward pass has shown which edges there are (``Shape.parallel``)."""
        sample = sample_of(number_of_edges(shape, self.method)) if self.sample else ()
        return replace(self, sample=sample)

    @property
    def run_prompts(self) -> tuple[RunPrompt, ...]:
        """The prompts as the run stores them."""
        plain = zip(self.prompts.to_run_prompts(), self.tokens, self.pairs, strict=True)
        return tuple(replace(p, tokens=t, pair=pair, way=way) for p, t, (pair, way) in plain)


def plan(
    loaded: LoadedVariant, prompts: PromptSet, request: Request, moment: Moment | None = None
) -> list[Job]:
    """The runs of one ingest, every prompt encoded and checked.

    ``moment`` is the day of a template that asks for the time; None for today.

    Raises
    ------
    UsageError
        The request does not fit the prompts.
    InputError
        A prompt that cannot be used, with its line.
    """
    kinds = request.kinds_for(prompts)
    read = {kind: _read_in(kind, prompts, request) for kind in kinds}
    encoded = {  # each set of texts once
        texts: encode(
            texts,
            loaded.tokenizer,
            chat_template=request.chat_template,
            max_positions=longest(loaded.hf.config),
            moment=moment,
            rows=embedded(loaded.hf),
        )
        for texts in dict.fromkeys(read.values())
    }
    if "effect" in kinds and request.ablation == "corrupt":
        require_equal_pairs(encoded[prompts].prompts, prompts.source)
    shape, prompt_set = Shape.of(loaded.hf), prompts.fingerprint("effect")
    jobs = [_job(loaded, shape, read[k], encoded[read[k]], request, k) for k in kinds]
    return [replace(job, prompt_set=prompt_set) for job in jobs]


def _read_in(kind: EdgeKind, prompts: PromptSet, request: Request) -> PromptSet:
    """The prompts with the texts that runs of this kind read.

    Under mean or zero ablation no corrupt prompt is read: rows that differ in it only are one
    prompt, and answers begin where the prompt alone ends.
    """
    if kind != "effect" or request.ablation == "corrupt" or not prompts.has_pairs:
        return prompts
    alone = (replace(p, corrupt=None, span=None, corrupt_span=None) for p in prompts)
    return replace(prompts, prompts=tuple(alone))


def _job(
    loaded: LoadedVariant,
    shape: Shape,
    prompts: PromptSet,
    encoded: EncodedSet,
    request: Request,
    kind: EdgeKind,
) -> Job:
    what = kind, request.activity
    kept, duplicates = _distinct(prompts, encoded, request, kind)
    rows = in_order(kept, loaded.tokenizer)
    if kind == "correlation" and request.activity == "projection":
        _require_distinct_answers(rows)
    method, sample, fits = _settled(request.method(kind, encoded), shape, rows, request.budget)
    print_ = fingerprint(rows, *what)
    return Job(
        id=run_id(loaded.variant, method, print_),
        method=method,
        prompts=replace(prompts, prompts=tuple(row.source for row in rows)),
        encoded=rows,
        duplicates=duplicates,
        tokens=tuple(tokens_of(row, *what) for row in rows),
        pairs=pairs_of(rows, method, prompts.source),
        fingerprint=print_,
        rendered=encoded.rendered,
        sample=sample,
        fits=fits,
    )


def _distinct(
    prompts: PromptSet, encoded: EncodedSet, request: Request, kind: EdgeKind
) -> tuple[list[Encoded], int]:
    """The first of prompts with equal tokens, and the number of the others."""
    by_prompt: dict[Prompt, Encoded] = {e.source: e for e in encoded.prompts}
    what = kind, request.activity
    # In canonical order, so that which of two spellings is kept never hangs on the file's.
    try:
        kept, duplicates = prompts.canonical().distinct(
            *what, key=lambda prompt: decisive(by_prompt[prompt], *what)
        )
    except InputError as error:
        if kind == "effect" and request.ablation != "corrupt":
            hint = f"with ``ablation={request.ablation}`` the corrupt prompt is not read"
            raise InputError(f"{error} ({hint})") from error
        raise
    return [by_prompt[prompt] for prompt in kept], duplicates


def _settled(
    method: Method, shape: Shape, rows: Sequence[Encoded], budget: float | None
) -> tuple[Method, tuple[int, ...], str]:
    """The method with ``auto`` decided, the edges measured exactly beside it, what fits."""
    if method.kind != "effect":
        return method, (), ""
    _require_few_edges(method, shape)
    rate = None if budget is None else rate_here(shape)
    if method.estimator == "auto":
        most = AFFORDABLE if budget is None or rate is None else budget * rate
        method = replace(method, estimator=affordable(shape, method, rows, most))
    times = ""
    if budget is not None and rate is not None:
        times, fits = what_fits(shape, method, rows, budget, rate)
        if not fits:
            raise UsageError(
                f"``budget={budget:g}``: {method.estimator} effects take longer; {times}; take "
                "what fits, or fewer prompts"
            )
    # With every such run, however it came about: equal ids mean equal arrays.
    screened = method.estimator == "receiver-exact"
    return method, sample_of(number_of_edges(shape, method)) if screened else (), times


def _require_few_edges(method: Method, shape: Shape) -> None:
    """Refuse (UsageError) more edges than fit into memory."""
    count = number_of_edges(shape, method)
    if shape.experts and count > MOST_EDGES:
        raise UsageError(
            f"{count:,} edges between heads, routers and {sum(shape.experts):,} experts are more "
            f'than {MOST_EDGES:,}; take ``granularity="layer"``, where a mixture of experts is '
            "one component a layer"
        )


def _require_distinct_answers(rows: Sequence[Encoded]) -> None:
    for row in rows:
        shared_prefix(row)
