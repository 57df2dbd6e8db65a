"""Prompts and prompt sets, in memory and in runs, and which of them are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from circuitgraph.base.components import Activity, EdgeKind, digest
from circuitgraph.base.errors import InputError, quoted


@dataclass(frozen=True)
class RunPrompt:
    """A stored prompt (texts, and ``tokens``, a hash, are None for tables).

    Prompts of one ``pair`` are one observation; ``way``: −1 if exchanged as against the first.
    """

    id: str
    scenario: str
    prompt: str | None = None
    corrupt: str | None = None
    answer: str | None = None
    wrong_answer: str | None = None
    direction: int | None = None
    template: str | None = None
    span: str | None = None
    corrupt_span: str | None = None
    tokens: str | None = None
    pair: str | None = None
    way: int = 1
    also: tuple[str, ...] = ()
    also_wrong: tuple[str, ...] = ()
    game: str | None = None
    state_self: str | None = None
    state_other: str | None = None
    split: str | None = None


PAIR = ("corrupt", "answer", "wrong_answer")
SPANS = ("span", "corrupt_span")
SETS = ("also", "also_wrong")
PLAYED = ("game", "state_self", "state_other", "split")
"""What is known of a prompt about a game; decides no number, so no fingerprint rests on it."""
_DECIDES: dict[tuple[str, str], tuple[str, ...]] = {
    ("correlation", "norm"): ("prompt",),
    ("correlation", "projection"): ("prompt", "answer", "wrong_answer"),
    ("effect", ""): ("prompt", *PAIR, *SPANS, *SETS),
}
"""The fields that decide a prompt's numbers; prompts alike in them are duplicates."""


@dataclass(frozen=True)
class Prompt:
    """One prompt, its texts exactly as the user wrote them.

    Attributes
    ----------
    prompt, scenario
        The text, and the cluster it belongs to (paraphrases share it).
    corrupt, answer, wrong_answer
        For effects: the corrupt twin and the two answers.
    also, also_wrong
        Where a side is a set of answers, the others beside ``answer`` and ``wrong_answer``,
        sorted: the decision is then between the probabilities of the sets.
    direction
        +1 where corrupting should raise the decision, −1 where it should lower it, None for
        the sign of the totals.
    template
        The wording it was made from.
    line
        Where it begins in its file.
    game, state_self, state_other
        Of prompts about a repeated game: which one, and both last moves (C or D), own first.
    split
        ``held-out`` for wordings that nothing is trained on.
    span, corrupt_span
        The differing words in ``prompt`` and in ``corrupt``, each there once, with the same
        text around them; None where they are not marked.
    """

    prompt: str
    scenario: str
    corrupt: str | None = None
    answer: str | None = None
    wrong_answer: str | None = None
    id: str | None = None
    direction: int | None = None
    template: str | None = None
    line: int = 0
    span: str | None = None
    corrupt_span: str | None = None
    also: tuple[str, ...] = ()
    also_wrong: tuple[str, ...] = ()
    game: str | None = None
    state_self: str | None = None
    state_other: str | None = None
    split: str | None = None

    def __repr__(self) -> str:
        answers = f", {quoted(self.answer)} or {quoted(self.wrong_answer)}" if self.answer else ""
        return f"Prompt({quoted(self.prompt)}, scenario {quoted(self.scenario)}{answers})"

    @property
    def sides(self) -> tuple[Any, Any]:
        """Both answers; where either side is a set, both sets."""
        return sides_of(self.answer, self.wrong_answer, self.also, self.also_wrong)

    @property
    def state(self) -> str:
        """Both last moves, own first, such as ``CD``; "" without a game."""
        return f"{self.state_self}{self.state_other}" if self.state_self else ""


@dataclass(frozen=True)
class PromptSet:
    """The prompts of one file, in its order.

    Attributes
    ----------
    prompts : tuple of Prompt
        At least one.
    source : str
        The file, for messages.
    unread : tuple of (str, str)
        Columns not read, each with the missing column it was probably meant to be, or "".
    """

    prompts: tuple[Prompt, ...]
    source: str
    unread: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"PromptSet({len(self)} prompts of {quoted(self.source, 200)})"

    def __len__(self) -> int:
        return len(self.prompts)

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.prompts)

    @property
    def has_pairs(self) -> bool:
        """Whether effects can be measured: there are corrupt twins and answers."""
        return bool(self.prompts) and self.prompts[0].corrupt is not None

    @property
    def has_answers(self) -> bool:
        """Whether there is a decision; with it, ablations need no corrupt twin."""
        return bool(self.prompts) and self.prompts[0].answer is not None

    @property
    def lacking(self) -> str:
        """The missing columns that effects need, in words."""
        first = self.prompts[0] if self.prompts else Prompt("", "")
        *most, last = [name for name in PAIR if getattr(first, name) is None] or [""]
        return f"{', '.join(most)} and {last}" if most else last

    @property
    def misspelt(self) -> str:
        """Suggests misspelt columns, or ""."""
        found = [f"{quoted(name)} (did you mean {meant}?)" for name, meant in self.unread if meant]
        column = "column" if len(found) == 1 else "columns"
        return f"unknown {column} {', '.join(found)}, not read" if found else ""

    @property
    def scenarios(self) -> dict[str, int]:
        """Number of prompts of every scenario, by name."""
        return dict(sorted(Counter(p.scenario for p in self.prompts).items()))

    def distinct(
        self,
        kind: EdgeKind,
        activity: Activity = "norm",
        key: Callable[[Prompt], Hashable] | None = None,
    ) -> tuple[PromptSet, int]:
        """Keep the first of equal prompts, and count the others.

        Parameters
        ----------
        kind : {"correlation", "effect"}
            Equal are prompts with the same text (for projections and the same answers), or with the
            same text, corrupt twin, answers and marks.
        activity : str
            Only for correlations.
        key : callable, optional
            Another equality, such as of token ids.

        Raises
        ------
        InputError
            Two equal prompts in two scenarios, or (effects) of two directions or templates: which
            of them is kept would depend on the order of the file.
        """
        names = decisive_fields(kind, activity)
        more = ("direction", "template") if kind == "effect" else ()
        must_agree = ("scenario", *more, *PLAYED)
        kept: dict[Hashable, Prompt] = {}
        for prompt in self.prompts:
            same = key(prompt) if key else tuple(getattr(prompt, name) for name in names)
            first = kept.setdefault(same, prompt)
            self._check_copy(first, prompt, must_agree)
        return replace(self, prompts=tuple(kept.values())), len(self) - len(kept)

    def _check_copy(self, first: Prompt, again: Prompt, must_agree: tuple[str, ...]) -> None:
        for name in must_agree:
            if getattr(first, name) != getattr(again, name):
                raise InputError(
                    f"{self.source}, line {again.line}: the same prompt as line {first.line} with "
                    f"another {name}; give both the same {name} or remove one"
                )

    def canonical(self) -> PromptSet:
        """The same prompts in an order independent of the file's."""
        names = ("scenario", "prompt", *PAIR, "template", "id", *SPANS)
        ordered = sorted(
            self.prompts,
            key=lambda p: [*(getattr(p, n) or "" for n in names), *(getattr(p, n) for n in SETS)],
        )
        return replace(self, prompts=tuple(ordered))

    def fingerprint(self, kind: EdgeKind, activity: Activity = "norm") -> str:
        """Hash of all that a run's numbers depend on; independent of order, ids and duplicates.

        Correlations: texts and scenarios (projections: the answers too). Effects: every field but
        id and line; marks and sets of answers only where there are any.
        """
        marked = any(p.span is not None for p in self.prompts)
        sets = any(p.also or p.also_wrong for p in self.prompts)
        unused = {*(() if marked else SPANS), *(() if sets else SETS)}
        decisive = decisive_fields(kind, activity)
        names = (*(n for n in decisive if n not in unused), "scenario")
        if kind == "effect":
            names += ("direction", "template")
        # digests sort alike whatever they were made of; None and text do not
        rows = {digest(*(getattr(p, n) for n in names)) for p in self.prompts}
        return digest("prompts", names, sorted(rows))

    def to_run_prompts(self) -> tuple[RunPrompt, ...]:
        """The prompts as runs store them; an id is made of the contents where there is none."""
        return tuple(_run_prompt(prompt) for prompt in self.prompts)


def _run_prompt(prompt: Prompt) -> RunPrompt:
    values = {f.name: getattr(prompt, f.name) for f in fields(prompt) if f.name != "line"}
    if prompt.id is None:
        names = ("prompt", "scenario", *PAIR, *(SPANS if prompt.span is not None else ()))
        names += SETS if prompt.also or prompt.also_wrong else ()
        values["id"] = digest(*(getattr(prompt, name) for name in names))[:12]
    return RunPrompt(**values)


def sides_of(
    answer: Any, wrong_answer: Any, also: tuple[Any, ...], also_wrong: tuple[Any, ...]
) -> tuple[Any, Any]:
    """Both sides of a decision: an answer each, or a set each."""
    if not (also or also_wrong):
        return answer, wrong_answer
    return tuple(sorted((answer, *also))), tuple(sorted((wrong_answer, *also_wrong)))


def decisive_fields(kind: EdgeKind, activity: Activity = "norm") -> tuple[str, ...]:
    """Names of the fields that a prompt's numbers depend on in runs of this kind."""
    return _DECIDES[(kind, "" if kind == "effect" else activity)]
