"""Decisions of variants in games, compared with their base on the same prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import digest
from circuitgraph.base.errors import CircuitGraphError, UsageError, quoted
from circuitgraph.base.progress import Reporter
from circuitgraph.behaviour.kept import keep_decisions, read_decisions
from circuitgraph.behaviour.tables import BY, COLUMNS, By, compared
from circuitgraph.games.opponents import Opponent, opponent_named
from circuitgraph.games.payoffs import GAMES, Game, games_named, with_states
from circuitgraph.games.prompts import INSTRUCTION, game_prompts
from circuitgraph.prompts.record import Prompt, PromptSet
from circuitgraph.prompts.template import Moment, instructed, render
from circuitgraph.runs.catalogue import RunCatalogue
from circuitgraph.runs.record import Run
from circuitgraph.stats import special

if TYPE_CHECKING:
    from circuitgraph.behaviour.measure import Answerer, Question

MADE = 12
"""Default number of wordings of generated prompts."""


@dataclass(frozen=True)
class BehaveRequest:
    """Options of measuring decisions.

    Attributes
    ----------
    games
        Games to generate prompts for (``all``, ``ipd,ish``, TOML files); None for the run's own.
    wordings
        Of generated prompts.
    samples
        Sampled answers per prompt; 0 for none.
    stored
        Use the decisions stored with runs, without loading a model: one spelling of each label.
    opponent
        Gives the next move, for utilitarian regret.
    seed
        Of samples.
    """

    games: str | Sequence[str] | None = None
    wordings: int = MADE
    samples: int = 0
    stored: bool = False
    opponent: str = "random"
    seed: int = 0

    def __post_init__(self) -> None:
        opponent_named(self.opponent)
        if self.samples < 0:
            raise UsageError(f"``samples={self.samples}``: give 0 or more")
        if self.stored and (self.games is not None or self.samples):
            raise UsageError("``stored`` loads no model; leave games and samples out")

    @property
    def known_games(self) -> dict[str, Game]:
        """Games with known payoffs."""
        own = () if self.games is None else games_named(self.games)
        return {**GAMES, **{game.name: game for game in own}}


@dataclass(frozen=True)
class Behaviour:
    """Decisions of variants, one row per prompt.

    Attributes
    ----------
    decisions
        By name of variant; columns ``behaviour.tables.COLUMNS``.
    bases
        Name of each variant's base, or "".
    games, opponent
        For regret.
    names
        Variants of the table; ``decisions`` also holds their bases.
    """

    decisions: Mapping[str, pd.DataFrame]
    bases: Mapping[str, str]
    games: Mapping[str, Game]
    opponent: Opponent
    names: tuple[str, ...]

    def table(self, by: By = "scenario") -> pd.DataFrame:
        """Table of all variants; see ``behaviour.tables.compared``.

        Raises
        ------
        UsageError
            Unknown ``by``.
        """
        if by not in BY:
            raise UsageError(f"``by={quoted(by)}``: choose {', '.join(BY)}")
        parts = []
        for name in self.names:
            base = self.decisions.get(self.bases[name])
            parts.append(compared(name, self.decisions[name], base, by, self.games, self.opponent))
        return pd.concat(parts, ignore_index=True)


def behave(
    catalogue: RunCatalogue, names: Sequence[str], request: BehaveRequest, reporter: Reporter
) -> Behaviour:
    """Measure decisions of variants and of their bases in the workspace.

    Decisions are kept beside a run of the variant and not measured again.

    Raises
    ------
    UsageError, InputError
        No such variant, prompts without states, or a missing model.
    """
    runs = {name: _run_of(catalogue, name) for name in dict.fromkeys(names)}
    bases = {name: _base_of(catalogue, run) for name, run in runs.items()}
    for name in sorted({*bases.values()} - {*runs, ""}):
        if any(_has_states(run) for run in catalogue.of(name)):
            runs[name] = _run_of(catalogue, name)
    decisions = {name: _decisions(run, request, reporter) for name, run in runs.items()}
    return Behaviour(
        decisions, bases, request.known_games, opponent_named(request.opponent), tuple(bases)
    )


def _has_states(run: Run) -> bool:
    """Whether a run has decisions and a state for every prompt."""
    if run.kind != "effect" or "decisions" not in run.arrays:
        return False
    try:
        return bool(_game_prompts(run))
    except CircuitGraphError:
        return False


def _game_prompts(run: Run) -> PromptSet:
    """A run's prompts with their states; raises InputError where one has none."""
    names = {field.name for field in fields(Prompt)} - {"line"}
    own = (Prompt(**{k: v for k, v in vars(p).items() if k in names}) for p in run.prompts)
    return with_states(PromptSet(tuple(own), f"the prompts of run {run.id[:12]}"))[0]


def _run_of(catalogue: RunCatalogue, name: str) -> Run:
    """The newest run of a variant on game prompts."""
    found = [run for run in catalogue.of(name) if _has_states(run)]
    if found:
        return found[-1]
    raise UsageError(
        f"variant {quoted(name)} was never asked about a game: ingest it with effects on prompts "
        "that have the columns game, state_self and state_other (circuitgraph prompts make game)"
    )


def _base_of(catalogue: RunCatalogue, run: Run) -> str:
    """Name of the variant's base in the workspace, or ""."""
    if not run.variant.adapter:
        return ""
    plain = [
        v for v in catalogue.variants().values() if not v.adapter and v.base == run.variant.base
    ]
    return plain[0].name if plain else ""


def _decisions(run: Run, request: BehaveRequest, reporter: Reporter) -> pd.DataFrame:
    if request.stored:
        return _from_run(run)
    from circuitgraph.behaviour.measure import Answerer, questions
    from circuitgraph.models.stored import tokenizer_of

    model = cache(lambda: Answerer(run.variant, reporter))
    known = read_decisions(run)
    tokenizer = tokenizer_of(run.variant)
    chat = run.method.template == "chat" and request.games is None
    moment = Moment.of_run(run.rendered) if chat else None
    rows = 1 << 30  # no limit: ingest has checked the run's prompts, and the rest are generated
    asked = questions(
        _prompts(run, request, tokenizer), tokenizer, chat_template=chat, moment=moment, rows=rows
    )
    missing = [q for q in asked if q.key not in set(known["key"])]
    if missing:
        found = zip(missing, model().answers(missing), strict=True)
        measured = [_row(question.key, question.prompt, *own) for question, own in found]
        keep_decisions(run, pd.DataFrame(measured))
        known = read_decisions(run)
    wanted = pd.DataFrame({"key": list(dict.fromkeys(q.key for q in asked))})
    table = wanted.merge(known, on="key", how="left")
    return _with_samples(table, asked, model(), request) if request.samples else table


def _row(key: str, prompt: Prompt, p: float, legal: float) -> dict[str, Any]:
    return {
        "key": key,
        "game": prompt.game or "",
        "scenario": prompt.scenario,
        "wording": prompt.template or prompt.id or f"line {prompt.line}",
        "state": f"{prompt.state_self}{prompt.state_other}",
        "split": prompt.split or "",
        "p": p,
        "legal": legal,
    }


def _from_run(run: Run) -> pd.DataFrame:
    """Decisions stored with the run, for the answers as written, and their probability mass."""
    decisions = np.asarray(run.arrays["decisions"], np.float64)
    mass = np.asarray(run.arrays.get("mass", np.full(run.n, np.nan)), np.float64)
    rows = [
        _row(digest(prompt.prompt), prompt, p, legal)
        for prompt, p, legal in zip(_game_prompts(run), special.expit(decisions), mass, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _prompts(run: Run, request: BehaveRequest, tokenizer: Any) -> PromptSet:
    stored = _game_prompts(run)
    if request.games is None:
        return stored
    own = stored.prompts
    labels = [(own[0].answer or "").strip(), (own[0].wrong_answer or "").strip()]
    chat = not (own[0].answer or "").startswith(" ") and bool(tokenizer.chat_template)
    turn = None
    if chat:
        moment = Moment.today()
        turn = lambda text: _turn(run, tokenizer, text, moment)  # noqa: E731
    try:
        return game_prompts(
            games_named(request.games), tokenizer, count=request.wordings, labels=labels, chat=turn
        )
    except CircuitGraphError as error:
        raise type(error)(f"variant {quoted(run.variant.name)}: {error}") from error


def _turn(run: Run, tokenizer: Any, text: str, moment: Moment) -> str:
    """A text in the chat template, rendered like this run's prompts."""
    if run.method.template == "chat":
        return render(tokenizer, text, moment)
    return instructed(tokenizer, INSTRUCTION, text, moment)


def _with_samples(
    found: pd.DataFrame, asked: Sequence[Question], model: Answerer, request: BehaveRequest
) -> pd.DataFrame:
    """Add shares of sampled answers, and whether most of them are the likelier move."""
    by_key = {question.key: question for question in asked}
    rows = []
    for number, (key, p) in enumerate(zip(found["key"], found["p"], strict=True)):
        share, legal = model.sample(by_key[key], request.samples, request.seed + number)
        tied = np.isnan(share) or share == 0.5
        rows.append((share, legal, np.nan if tied else float((share > 0.5) == (p > 0.5))))
    shares = pd.DataFrame(rows, columns=["sampled", "sampled_legal", "agrees"])
    return pd.concat([found.reset_index(drop=True), shares], axis=1)
