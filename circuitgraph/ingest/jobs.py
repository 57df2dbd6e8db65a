"""The plan of an ingest, decided and checked before any long work, and the day of its template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from circuitgraph.base.components import EdgeKind
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.engine.families.common import embedded
from circuitgraph.engine.families.rotary import longest
from circuitgraph.ingest.activity import shared_prefix
from circuitgraph.ingest.estimate import (
    AFFORDABLE,
    affordable,
    number_of_edges,
    rate_here,
    what_fits,
)
from circuitgraph.ingest.request import Request
from circuitgraph.ingest.screen import sample_of
from circuitgraph.ingest.shape import Shape
from circuitgraph.models.variants import LoadedVariant
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.record import RunPrompt
from circuitgraph.prompts.template import Moment
from circuitgraph.prompts.tokens import Encoded, EncodedSet, encode, require_equal_pairs
from circuitgraph.runs.conventions import read_day, settle_day
from circuitgraph.runs.identity import decisive, fingerprint, in_order, pairs_of, tokens_of
from circuitgraph.runs.record import Method, run_id

MOST_EDGES = 5_000_000
"""Of a mixture of experts, whose experts are components beside heads."""


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


def planned(
    loaded: LoadedVariant, prompts: PromptSet, request: Request, runs_folder: Path
) -> list[Job]:
    """The runs of one ingest, with the day recorded for these prompts.

    Nothing is written yet: an ingest that is refused settles nothing (see ``settle``).

    Raises
    ------
    InputError
        A prompt that cannot be used.
    UsageError
        The request does not fit the prompts, or another day is recorded.
    """
    asked = None if request.template_date is None else Moment.of(request.template_date)
    if not request.chat_template:
        if asked is not None:
            raise UsageError("``template_date`` needs ``chat_template``: nothing else tells a date")
        return plan(loaded, prompts, request)
    known = read_day(runs_folder, prompts.fingerprint("effect"))
    jobs = plan(loaded, prompts, request, asked or known or Moment.today())
    if asked is None or known in (None, asked) or not has_date(jobs):
        return jobs
    before = plan(loaded, prompts, request, known)
    if [job.id for job in before] == [job.id for job in jobs]:
        return before
    if asked.day == known.day and not has_date(before):  # only a day that is named is told
        return jobs
    recorded = known.day if asked.day != known.day else f"{known.day} by the template's clock alone"
    raise UsageError(
        f"``template_date={asked.day}``: in this workspace these prompts are told {recorded}, "
        "and runs with other tokens are never compared; leave the option out, or use another "
        "workspace"
    )


def settle(jobs: Sequence[Job], runs_folder: Path) -> None:
    """Record the day of these runs, for those of other variants.

    Raises
    ------
    UsageError
        Another ingest has recorded another one in the meantime.
    """
    moment = Moment.of_run(jobs[0].rendered)
    if moment is not None:
        settle_day(runs_folder, jobs[0].prompt_set, moment)


def has_date(jobs: Sequence[Job]) -> bool:
    """Whether the rendered template depends on the day."""
    return bool(jobs[0].rendered.get("date"))


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
    method, sample, fits = _settled(request.method(kind, encoded), shape, rows, request)
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
    method: Method, shape: Shape, rows: Sequence[Encoded], request: Request
) -> tuple[Method, tuple[int, ...], str]:
    """The method with ``auto`` decided, the edges measured exactly beside it, what fits."""
    if method.kind != "effect":
        return method, (), ""
    _require_few_edges(method, shape)
    budget = request.budget
    rate = None if budget is None else rate_here(shape, request.device)
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
