"""``prompts check``: power of a prompt file and, with a model, tokens and decisions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from circuitgraph.base.components import EdgeKind
from circuitgraph.base.errors import InputError, quoted
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families.common import embedded
from circuitgraph.engine.families.rotary import longest
from circuitgraph.engine.interface import Engine
from circuitgraph.ingest.reading import Reading, readings, respelt, text_notes, token_notes
from circuitgraph.ingest.selfcheck import checked_model
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts import PromptSet, read_prompts
from circuitgraph.prompts.reader import Source
from circuitgraph.prompts.report import PromptReport, check_text
from circuitgraph.prompts.template import Moment
from circuitgraph.prompts.tokens import (
    Encoded,
    EncodedSet,
    aligned_pairs,
    encode,
    require_equal_pairs,
    unequal_pairs,
)
from circuitgraph.runs.identity import decisive, ways_of
from circuitgraph.runs.signs import Rows, against_direction, undirected
from circuitgraph.stats.evidence import LITTLE_MASS, MOVES

TRIED = 16
"""Prompts whose answers are tried with and without a leading blank."""
TWICE = 2.0
"""Ratio of probabilities from which the other spelling is worth a word."""


@dataclass(frozen=True)
class Spelling:
    """The answers of one prompt as written, and with the other leading blank.

    ``mass`` and ``other_mass`` are mean probabilities of the two answers over these prompts.
    """

    written: str
    other: str
    mass: float
    other_mass: float

    def lines(self) -> list[str]:
        """A remark, unless both are about as likely."""
        ratio = max(self.other_mass, self.mass) / max(min(self.other_mass, self.mass), 1e-30)
        if ratio < TWICE:
            return []
        likely, least = (_percent(m) for m in (self.other_mass, self.mass))
        line = (
            f"answers written {quoted(self.other)} carry {likely} of the probability, as here "
            f"({quoted(self.written)}) {least}"
        )
        if self.other_mass < self.mass:
            return [line]
        return [f"note: {line}: the model would rather write the former"]


@dataclass(frozen=True)
class ModelReport:
    """The prompts with one model.

    Attributes
    ----------
    tokens : (int, int)
        Shortest and longest prompt.
    bos : {"added", "present", "none"}
    template : {"chat", ""}
    answer_tokens : int
        Longest answer.
    unequal, aligned : tuple of int
        Lines whose corrupt prompt has another number of tokens, without and with marks.
    moved : int, optional
        Prompts whose decision changes by 0.1 nats or more under corruption.
    totals : mapping
        Mean change of the decision by scenario, in nats.
    mass : float, optional
        Mean probability of the two answers.
    read : tuple of Reading
    spelling : Spelling, optional
    notes : tuple of str
    """

    tokens: tuple[int, int]
    bos: str
    template: str
    answer_tokens: int
    unequal: tuple[int, ...]
    aligned: tuple[int, ...]
    moved: int | None
    totals: Mapping[str, float]
    mass: float | None
    read: tuple[Reading, ...] = ()
    spelling: Spelling | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """The whole check; ``problems`` prevent effects from being measured."""

    text: PromptReport
    model: ModelReport | None
    problems: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report in words, a line each."""
        lines = self.text.lines()
        if self.model is not None:
            lines += _model_lines(self.model, self.text.rows)
        return lines + [f"PROBLEM: {problem}" for problem in self.problems]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        model = None if self.model is None else asdict(self.model)
        return {"text": self.text.to_dict(), "model": model, "problems": list(self.problems)}


def check_prompts(
    path: Source,
    model: str | os.PathLike[str] | None = None,
    *,
    chat_template: bool = False,
    template_date: str | None = None,
) -> CheckReport:
    """Check a prompt file and, with a model, its tokens and decisions.

    Raises
    ------
    InputError
        A file or model that cannot be used at all.
    """
    prompts = read_prompts(path)
    text = check_text(prompts)
    if model is None:
        return CheckReport(text, None, ())
    loaded = load_variant(os.fspath(model))
    read = partial(
        encode,
        tokenizer=loaded.tokenizer,
        chat_template=chat_template,
        moment=None if template_date is None else Moment.of(template_date),
        max_positions=longest(loaded.hf.config),
        rows=embedded(loaded.hf),
    )
    encoded = read(prompts)
    problems = _problems(encoded, prompts)
    engine, _ = checked_model(loaded, encoded.prompts)
    report = _model_report(loaded.variant.name, engine, encoded, prompts)
    whole = replace(
        report,
        read=readings(encoded.prompts, loaded.tokenizer),
        spelling=_spelling(engine, encoded.prompts, prompts.source, read),
        notes=(
            *report.notes,
            *text_notes(prompts, loaded.tokenizer, chat_template),
            *token_notes(encoded.prompts),
        ),
    )
    return CheckReport(text, whole, problems)


def _spelling(
    model: Engine, rows: Sequence[Encoded], source: str, read: Callable[[PromptSet], EncodedSet]
) -> Spelling | None:
    """Probability of some answers as written and with the other leading blank."""
    pairs = [(row, other) for row in rows if row.answer and (other := respelt(row.source))][:TRIED]
    if not pairs:
        return None
    try:
        others = read(PromptSet(tuple(other for _, other in pairs), source)).prompts
    except InputError:  # no tokens or no embedding: then there is no other way
        return None
    ids = [
        [(row.answer, row.wrong_answer) for row in side] for side in ([r for r, _ in pairs], others)
    ]
    if ids[0] == ids[1]:
        return None
    bare = [replace(row, corrupt=None, partners=None) for row, _ in pairs]
    mass, other_mass = (sum(_decisions(model, side)[1]) / len(pairs) for side in (bare, others))
    return Spelling(str(pairs[0][0].source.answer), str(others[0].source.answer), mass, other_mass)


def _problems(encoded: EncodedSet, prompts: PromptSet) -> tuple[str, ...]:
    try:
        require_equal_pairs(encoded.prompts, prompts.source)
    except InputError as error:
        return (str(error),)
    return ()


def _model_report(name: str, model: Engine, encoded: EncodedSet, prompts: PromptSet) -> ModelReport:
    rows = encoded.prompts
    lengths = [len(row.prompt) for row in rows]
    uneven = {id(row) for row in unequal_pairs(rows)}
    usable = [row for row in rows if row.answer and id(row) not in uneven]
    totals, mass = _decisions(model, usable)
    return ModelReport(
        tokens=(min(lengths), max(lengths)),
        bos=encoded.bos,
        template=encoded.template,
        answer_tokens=max(max(len(row.answer), len(row.wrong_answer)) for row in rows),
        unequal=tuple(row.source.line for row in rows if id(row) in uneven),
        aligned=tuple(row.source.line for row in aligned_pairs(rows)),
        moved=sum(abs(t) >= MOVES for t in totals) if usable and prompts.has_pairs else None,
        totals=_by_scenario(usable, totals) if prompts.has_pairs else {},
        mass=sum(mass) / len(mass) if mass else None,
        notes=(
            *_alike(rows, prompts),
            *(_totals_lines(name, usable, totals, prompts.source) if prompts.has_pairs else ()),
        ),
    )


def _alike(rows: Sequence[Encoded], prompts: PromptSet) -> list[str]:
    kind: EdgeKind = "effect" if prompts.has_pairs else "correlation"
    distinct = {decisive(row, kind, "norm") for row in rows}
    more = len(prompts.distinct(kind)[0]) - len(distinct)
    if more <= 0:
        return []
    return [f"{more} more prompts differ in spelling only: the same tokens count once"]


def _totals_lines(
    name: str, rows: Sequence[Encoded], totals: Sequence[float], file: str
) -> list[str]:
    if not rows:
        return []
    seen = Rows.by_pair(ways_of(rows, file))
    first = [rows[i].source for i in seen.first]
    asked = [prompt.scenario for prompt in first], [prompt.direction for prompt in first]
    found = seen.turned(np.array(totals))
    return [*undirected(*asked, found), *against_direction(name, *asked, found)]


def _decisions(model: Engine, rows: Sequence[Encoded]) -> tuple[list[float], list[float]]:
    """Change of the decision under corruption, and answer mass, of every prompt."""
    totals: list[float] = []
    mass: list[float] = []
    for start in range(0, len(rows), 16):
        batch = make_batch(rows[start : start + 16], border=model.border)
        clean, corrupt, likely = model.decisions(batch)
        totals += (corrupt - clean).tolist()
        mass += likely.tolist()
    return totals, mass


def _by_scenario(rows: Sequence[Encoded], totals: Sequence[float]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for row, total in zip(rows, totals, strict=True):
        found.setdefault(row.source.scenario, []).append(total)
    return {name: sum(values) / len(values) for name, values in sorted(found.items())}


def _model_lines(report: ModelReport, rows: int) -> list[str]:
    few, many = report.tokens
    lines = [
        f"tokens: {few} to {many} a prompt; beginning of sequence {report.bos}; "
        + (
            f"answers of up to {report.answer_tokens} tokens"
            if report.answer_tokens
            else "no answers"
        )
    ]
    lines += [f"answers as read, {reading}" for reading in report.read]
    if report.aligned:
        lines.append(
            f"unequal lengths: {len(report.aligned)} of {rows} pairs, aligned by their marked words"
        )
    if report.moved is not None:
        lines.append(
            f"corruption moves the decision by {MOVES} nats or more on {report.moved} of {rows}"
        )
        lines += [
            f"  {name[:60]}: {total:+.2f} on average" for name, total in report.totals.items()
        ]
        if report.moved < rows / 2:
            lines.append("note: where corruption moves nothing, there is no effect to find")
    if report.mass is not None:
        lines.append(f"the two answers carry {report.mass:.0%} of the probability")
        if report.mass < LITTLE_MASS:
            lines.append(
                "note: mostly the model would say something else; are the answers written its way?"
            )
    lines += report.spelling.lines() if report.spelling else []
    return lines + [f"note: {note}" for note in report.notes]


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{100 * share:.2g}%"
