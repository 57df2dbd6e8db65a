"""Prompts as token ids: beginning-of-sequence, chat templates, answers, and their traps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from circuitgraph.errors import InputError
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.template import Moment, render, tells_the_time


@dataclass(frozen=True)
class Encoded:
    """One prompt's token ids.

    Attributes:
        prompt: with the beginning-of-sequence token where the tokenizer has one.
        corrupt: the corrupt prompt likewise, or None.
        answer, wrong_answer: encoded alone, as written; empty where there are none.
        source: the prompt as read, with its line.
        partners: for every position of ``prompt`` the position of ``corrupt`` that it is
            patched from, −1 where there is none (see ``align``); None where lengths are
            equal, or nothing is marked: every position is patched from itself.
    """

    prompt: tuple[int, ...]
    corrupt: tuple[int, ...] | None
    answer: tuple[int, ...]
    wrong_answer: tuple[int, ...]
    source: Prompt
    partners: tuple[int, ...] | None = None

    @property
    def first_change(self) -> int | None:
        """First position that patching can change: all before it is one text, in one place."""
        corrupt = self.corrupt or ()
        if self.partners is None:
            pairs = enumerate(zip(self.prompt, corrupt, strict=False))
            return next((i for i, (a, b) in pairs if a != b), None)
        pairs = enumerate(zip(self.prompt, self.partners, strict=True))
        return next((i for i, (a, j) in pairs if j >= 0 and (j != i or a != corrupt[j])), None)


@dataclass(frozen=True)
class EncodedSet:
    """Encoded prompts, and how their beginnings were made.

    Attributes:
        prompts: in the order given.
        bos: ``added``, ``present`` (in every text already) or ``none``.
        template: ``chat`` or "".
        rendered: with a template, ``example``, the first prompt as the model reads it, and
            ``date``, the day the template was told where it tells one, else "", and
            ``date_string``, the same as a variable where the user named the day, else "".
    """

    prompts: tuple[Encoded, ...]
    bos: str
    template: str
    rendered: Mapping[str, str] = field(default_factory=dict)


def encode(
    prompts: PromptSet,
    tokenizer: Any,
    *,
    chat_template: bool = False,
    max_positions: int | None = None,
    moment: Moment | None = None,
) -> EncodedSet:
    """Encode every prompt, corrupt prompt and answer.

    The tokenizer's own beginning-of-sequence token is put in front once, unless the
    text begins with it already or the tokenizer has none. Answers are encoded alone.

    Args:
        prompts: as read.
        tokenizer: a transformers fast tokenizer.
        chat_template: wrap each prompt as one user turn, ready for the reply.
        max_positions: longest sequence the model can run.
        moment: what a template that asks for the time is told; None for today.

    Raises:
        InputError: no tokens, unknown tokens only, too long, or no chat template.
    """
    if chat_template and not getattr(tokenizer, "chat_template", None):
        raise InputError(
            "--chat-template: this tokenizer has no chat template; leave the option out "
            "and write the turns into the prompts"
        )
    told = (moment or Moment.today()) if chat_template else None
    encoder = _Encoder(tokenizer, prompts.source, told, max_positions)
    encoded = tuple(encoder.encode(prompt) for prompt in prompts.prompts)
    if told is None:
        return EncodedSet(encoded, encoder.bos(encoded), "")
    text = prompts.prompts[0].prompt
    rendered = {"example": render(tokenizer, text, told), "date": "", "date_string": ""}
    if tells_the_time(tokenizer, text, told):
        rendered |= {"date": told.day, "date_string": told.date_string}
    return EncodedSet(encoded, encoder.bos(encoded), "chat", rendered)


@dataclass(frozen=True)
class _Encoder:
    tokenizer: Any
    source: str
    moment: Moment | None
    max_positions: int | None

    def encode(self, prompt: Prompt) -> Encoded:
        clean = self._prompt(prompt.prompt, prompt, "prompt")
        corrupt = None
        if prompt.corrupt is not None:
            corrupt = self._prompt(prompt.corrupt, prompt, "corrupt")
        answer = self._answer(prompt.answer, prompt, "answer")
        wrong = self._answer(prompt.wrong_answer, prompt, "wrong_answer")
        if answer and answer == wrong:
            raise self._error(prompt, "answer and wrong_answer are the same tokens")
        longest = max(len(clean), len(corrupt or ())) + max(len(answer), len(wrong), 1) - 1
        if self.max_positions is not None and longest > self.max_positions:
            limit = f"{longest} tokens; the model can take {self.max_positions}"
            raise self._error(prompt, limit)
        partners = None if corrupt is None else self._partners(prompt, clean, corrupt)
        return Encoded(clean, corrupt, answer, wrong, prompt, partners)

    def bos(self, encoded: Sequence[Encoded]) -> str:
        if self.tokenizer.bos_token_id is None:
            return "none"
        texts = [self._text(e.source.prompt) for e in encoded]
        starts = [self._ids(text)[:1] == [self.tokenizer.bos_token_id] for text in texts]
        return "present" if all(starts) else "added"

    def _prompt(self, text: str, prompt: Prompt, column: str) -> tuple[int, ...]:
        return self._begun(self._checked(self._text(text), prompt, column))

    def _begun(self, ids: list[int]) -> tuple[int, ...]:
        bos = self.tokenizer.bos_token_id
        return tuple(ids) if bos is None or ids[:1] == [bos] else (bos, *ids)

    def _partners(
        self, prompt: Prompt, clean: tuple[int, ...], corrupt: tuple[int, ...]
    ) -> tuple[int, ...] | None:
        if prompt.span is None or len(clean) == len(corrupt):
            return None
        before = prompt.prompt[: prompt.prompt.index(prompt.span)]
        partners = align(clean, corrupt, self._begun(self._ids(self._text(before))))
        if partners[-1] < 0:
            raise self._error(prompt, "the marked words have no tokens; mark one more word")
        return partners

    def _answer(self, text: str | None, prompt: Prompt, column: str) -> tuple[int, ...]:
        return () if text is None else tuple(self._checked(text, prompt, column))

    def _text(self, text: str) -> str:
        return text if self.moment is None else render(self.tokenizer, text, self.moment)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _checked(self, text: str, prompt: Prompt, column: str) -> list[int]:
        ids = self._ids(text)
        if not ids:
            raise self._error(prompt, f"{column} has no tokens")
        unknown = self.tokenizer.unk_token_id
        if unknown is not None and all(i == unknown for i in ids):
            raise self._error(
                prompt, f"{column} holds no word this tokenizer knows; is it the model's own?"
            )
        return ids

    def _error(self, prompt: Prompt, what: str) -> InputError:
        return InputError(f"{self.source}, line {prompt.line}: {what}")


def align(clean: Sequence[int], corrupt: Sequence[int], before: Sequence[int]) -> tuple[int, ...]:
    """The corrupt position that each clean position is patched from, −1 where there is none.

    Tokens before the differing words stand at their own positions, all others are counted
    from the end: a model reads from the left, so the last tokens of a name of several are
    those that know it. The longer side's surplus, at the front of its differing words, has
    no partner.

    Args:
        clean, corrupt: token ids of the two texts.
        before: of what stands before the differing words, encoded alone. Where its last
            token merges with the first word that differs, that token counts as different.
    """
    same = takewhile(lambda ids: len(set(ids)) == 1, zip(clean, corrupt, before, strict=False))
    kept = sum(1 for _ in same)
    paired = min(len(clean), len(corrupt)) - kept
    alone, shift = len(clean) - paired, len(corrupt) - len(clean)
    return (*range(kept), *[-1] * (alone - kept), *(i + shift for i in range(alone, len(clean))))


def unequal_pairs(encoded: Sequence[Encoded]) -> list[Encoded]:
    """Prompts whose corrupt twin has another number of tokens, with nothing to align them by."""
    return [e for e in _uneven(encoded) if e.partners is None]


def aligned_pairs(encoded: Sequence[Encoded]) -> list[Encoded]:
    """Prompts whose corrupt twin has another number of tokens and is aligned by marks."""
    return [e for e in _uneven(encoded) if e.partners is not None]


def _uneven(encoded: Sequence[Encoded]) -> list[Encoded]:
    return [e for e in encoded if e.corrupt is not None and len(e.corrupt) != len(e.prompt)]


def require_equal_pairs(encoded: Sequence[Encoded], source: str) -> None:
    """Refuse pairs that cannot be patched position by position.

    Raises:
        InputError: names the lines and every exit.
    """
    uneven = unequal_pairs(encoded)
    if not uneven:
        return
    shown = ", ".join(
        f"{e.source.line} ({len(e.prompt)} and {len(e.corrupt or ())} tokens)" for e in uneven[:5]
    )
    more = f" and {len(uneven) - 5} more" if len(uneven) > 5 else ""
    raise InputError(
        f"{source}: prompt and corrupt differ in length at line {shown}{more}; pad the wording "
        "until both have as many tokens, mark the differing words (columns span and corrupt_span), "
        "or use --ablation mean, which needs no corrupt prompt"
    )
