"""Prompts as token ids: beginning-of-sequence, chat templates and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import takewhile
from typing import Any

from circuitgraph.base.errors import InputError, quoted
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.continuation import TextTokens, borders, common
from circuitgraph.prompts.record import sides_of
from circuitgraph.prompts.template import Moment, render, tells_the_time

_ELSE = "\ue000"
"""A character that no text begins with (private use)."""


@dataclass(frozen=True)
class Encoded:
    """One prompt's token ids.

    Attributes
    ----------
    prompt : tuple of int
        With the beginning-of-sequence token where there is one, up to the border with the
        answers (see ``continuation``).
    corrupt : tuple of int, optional
    answer, wrong_answer : tuple of int
        What follows the prompt; empty without answers.
    source : Prompt
    partners : tuple of int, optional
        For every position of ``prompt`` the position of ``corrupt`` that it is patched from, −1
        for none (see ``align``); None where every position is patched from itself.
    rest : tuple of int
        Last tokens of the prompt alone, which merge with the answers.
    apart : str
        Why the corrupt prompt cannot take the same answer tokens, or "".
    also, also_wrong : tuple
        Of sets of answers the others beside the first, a token each.
    """

    prompt: tuple[int, ...]
    corrupt: tuple[int, ...] | None
    answer: tuple[int, ...]
    wrong_answer: tuple[int, ...]
    source: Prompt
    partners: tuple[int, ...] | None = None
    rest: tuple[int, ...] = ()
    apart: str = ""
    also: tuple[tuple[int, ...], ...] = ()
    also_wrong: tuple[tuple[int, ...], ...] = ()

    @property
    def sides(self) -> tuple[Any, Any]:
        """Both answers; where either side is a set, both sets."""
        return sides_of(self.answer, self.wrong_answer, self.also, self.also_wrong)

    @property
    def whole(self) -> tuple[int, ...]:
        """The prompt alone, to the end of its text."""
        return self.prompt + self.rest

    @property
    def first_change(self) -> int | None:
        """First position that patching can change."""
        corrupt = self.corrupt or ()
        if self.partners is None:
            pairs = enumerate(zip(self.prompt, corrupt, strict=False))
            return next((i for i, (a, b) in pairs if a != b), None)
        pairs = enumerate(zip(self.prompt, self.partners, strict=True))
        return next((i for i, (a, j) in pairs if j >= 0 and (j != i or a != corrupt[j])), None)


@dataclass(frozen=True)
class EncodedSet:
    """Encoded prompts and how they begin.

    Attributes
    ----------
    bos : {"added", "present", "none"}
        ``present``: in every text already.
    template : {"chat", ""}
    rendered : mapping
        With a template: ``example``, the first prompt as the model reads it; ``date``, the day
        the template used, or ""; ``date_string``, the same where the user named it, or "".
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
    rows: int | None = None,
) -> EncodedSet:
    """Encode every prompt, corrupt prompt and answer.

    The beginning-of-sequence token is put in front once, unless the text begins with it or the
    tokenizer has none. Answers are what follows the prompt in the tokens of both as one text; a
    tokenizer that drops blanks takes the answer as the next word.

    Parameters
    ----------
    chat_template : bool
        Wrap each prompt as one user turn, ready for the reply.
    max_positions, rows : int, optional
        Longest sequence, and number of embedded tokens, of the model.
    moment : Moment, optional
        Day of the template; today by default.

    Raises
    ------
    InputError
        No tokens, unknown tokens only, a token without an embedding, too long, or no template.
    """
    if chat_template and not getattr(tokenizer, "chat_template", None):
        raise InputError(
            "``chat_template``: this tokenizer has no chat template; leave the option out "
            "and write the turns into the prompts"
        )
    day = (moment or Moment.today()) if chat_template else None
    encoder = _Encoder(tokenizer, prompts.source, day, max_positions, rows)
    encoded = tuple(encoder.encode(prompt) for prompt in prompts.prompts)
    if day is None:
        return EncodedSet(encoded, encoder.bos(encoded), "")
    text = prompts.prompts[0].prompt
    rendered = {"example": render(tokenizer, text, day), "date": "", "date_string": ""}
    if tells_the_time(tokenizer, text, day):
        rendered |= {"date": day.day, "date_string": day.date_string}
    return EncodedSet(encoded, encoder.bos(encoded), "chat", rendered)


@dataclass(frozen=True)
class _Encoder:
    tokenizer: Any
    source: str
    moment: Moment | None
    max_positions: int | None
    rows: int | None

    def encode(self, prompt: Prompt) -> Encoded:
        tokenised = self._tokenised(prompt)
        clean, corrupt = tokenised[0], tokenised[1] if prompt.corrupt is not None else None
        found = borders(clean, corrupt) if corrupt else None
        border = found[0] if found else clean.border
        answer, wrong, *others = clean.after(border)
        self._check_answers(prompt, min(found or (border,)), answer, wrong)
        self._check_sets(prompt, (answer, wrong, *others))
        self._check_length(prompt, tokenised)
        first = clean.alone[:border]
        encoded = Encoded(first, None, answer, wrong, prompt, rest=clean.alone[border:])
        if others:
            right = len(prompt.also)
            sets = tuple(others[:right]), tuple(others[right:])
            encoded = replace(encoded, also=sets[0], also_wrong=sets[1])
        if corrupt is None:
            return encoded
        if found is None:
            return replace(encoded, corrupt=corrupt.alone, apart=self._apart(prompt, tokenised))
        twin = corrupt.alone[: found[1]]
        return replace(encoded, corrupt=twin, partners=self._partners(prompt, first, twin))

    def bos(self, encoded: Sequence[Encoded]) -> str:
        if self.tokenizer.bos_token_id is None:
            return "none"
        texts = [self._text(e.source.prompt) for e in encoded]
        starts = [self._ids(text)[:1] == [self.tokenizer.bos_token_id] for text in texts]
        return "present" if all(starts) else "added"

    def _tokenised(self, prompt: Prompt) -> list[TextTokens]:
        """The prompt and its corrupt twin with both answers after them."""
        columns = {"prompt": prompt.prompt, "corrupt": prompt.corrupt}
        texts = {name: self._text(text) for name, text in columns.items() if text is not None}
        for name, text in texts.items():
            self._check(prompt, name, self._begun(self._ids(text)), self._ids(text))
        each = (prompt.answer, prompt.wrong_answer, *prompt.also, *prompt.also_wrong)
        answers = [a for a in each if a is not None]
        tokenised = [self._behind(text, answers) for text in texts.values()]
        joined = [a for text in texts.values() for a in answers if self._joined(text, a)]
        if not joined:
            return tokenised
        if not self._drops_blanks(texts, answers):
            raise self._error(
                prompt,
                f"{quoted(joined[0])} makes an unknown word of the prompt's last one where it "
                "follows at once; begin it with a blank",
            )
        return [self._behind(text, answers, " ") for text in texts.values()]

    def _behind(self, text: str, answers: Sequence[str], blank: str = "") -> TextTokens:
        alone = self._begun(self._ids(text))
        each = [self._begun(self._ids(text + blank + answer)) for answer in answers]
        answer, wrong, *others = each or (alone, alone)
        return TextTokens(alone, answer, wrong, tuple(others))

    def _joined(self, text: str, answer: str) -> bool:
        """Whether the end of a text and the beginning of an answer are one unknown word."""
        unknown = unknown_id(self.tokenizer)
        if unknown is None or not getattr(self.tokenizer, "is_fast", False):
            return False
        read = self.tokenizer(text + answer, add_special_tokens=False, return_offsets_mapping=True)
        pieces = zip(read["input_ids"], read["offset_mapping"], strict=True)
        return any(i == unknown and start < len(text) < end for i, (start, end) in pieces)

    def _drops_blanks(self, texts: Mapping[str, str], answers: Sequence[str]) -> bool:
        """Whether blanks are only borders of words to this tokenizer."""
        same = [(text, text + " ") for text in texts.values()] + [(a, " " + a) for a in answers]
        return all(self._ids(one) == self._ids(other) for one, other in same)

    def _begun(self, ids: list[int]) -> tuple[int, ...]:
        bos = self.tokenizer.bos_token_id
        return tuple(ids) if bos is None or ids[:1] == [bos] else (bos, *ids)

    def _partners(
        self, prompt: Prompt, clean: tuple[int, ...], corrupt: tuple[int, ...]
    ) -> tuple[int, ...] | None:
        if prompt.span is None or len(clean) == len(corrupt):
            return None
        partners = align(clean, corrupt, self._before(prompt))
        if partners[-1] < 0:
            raise self._error(prompt, "the marked words have no tokens; mark one more word")
        return partners

    def _before(self, prompt: Prompt) -> int:
        """Number of tokens that end where the marked words begin, or before.

        The text before them is not encoded alone: templates trim texts, or leave an empty turn out.
        """
        at, span = prompt.prompt.index(prompt.span or ""), prompt.span or ""
        other = prompt.prompt[:at] + _ELSE + prompt.prompt[at + len(span) :]
        text = self._text(prompt.prompt)
        start = common((text, self._text(other)))
        begun = len(self._begun(self._ids(text))) - len(self._ids(text))
        return begun + self._ends(text, start)

    def _ends(self, text: str, start: int) -> int:
        """Number of first tokens of a text that end at a character, or before."""
        if not getattr(self.tokenizer, "is_fast", False):
            return common((self._ids(text), self._ids(text[:start])))
        read = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return sum(1 for _ in takewhile(lambda span: span[1] <= start, read["offset_mapping"]))

    def _text(self, text: str) -> str:
        return text if self.moment is None else render(self.tokenizer, text, self.moment)

    @cached_property
    def _ids(self) -> Callable[[str], list[int]]:
        """Tokens of a text, kept: each of a prompt's few texts is needed several times."""
        return lru_cache(32)(lambda t: self.tokenizer(t, add_special_tokens=False)["input_ids"])

    def _check_answers(
        self, prompt: Prompt, border: int, answer: Sequence[int], wrong: Sequence[int]
    ) -> None:
        if prompt.answer is None:
            return
        for name, ids in (("answer", answer), ("wrong_answer", wrong)):
            self._check(prompt, name, ids, ids)
        if answer == wrong:
            raise self._error(prompt, "answer and wrong_answer are the same tokens")
        if border < 1:
            raise self._error(
                prompt, "the whole prompt merges with its answers; begin the answers with a blank"
            )

    def _check_sets(self, prompt: Prompt, answers: Sequence[tuple[int, ...]]) -> None:
        """Answers of a set must be one token each: they are scored at one position."""
        if len(answers) <= 2:
            return
        texts = (prompt.answer, prompt.wrong_answer, *prompt.also, *prompt.also_wrong)
        for text, ids in zip(texts, answers, strict=True):
            self._check(prompt, "answer", ids, ids)
            if len(ids) > 1:
                read = " ".join(map(quoted, self.tokenizer.convert_ids_to_tokens(list(ids))))
                raise self._error(
                    prompt,
                    f"{quoted(text or '')} is read as {read}: answers of a set are compared at "
                    "one token each; give sets of single tokens, or one answer a side",
                )
        if len(set(answers)) < len(answers):
            raise self._error(prompt, "two of the answers are the same token; remove one")

    def _check(self, prompt: Prompt, column: str, ids: Sequence[int], own: Sequence[int]) -> None:
        """There must be tokens, known ones among a text's own, and an embedding of each."""
        if not own:
            raise self._error(prompt, f"{column} has no tokens")
        unknown = unknown_id(self.tokenizer)
        if unknown is not None and all(i == unknown for i in own):
            raise self._error(
                prompt, f"{column} holds no word this tokenizer knows; is it the model's own?"
            )
        if self.rows is not None and max(ids) >= self.rows:
            raise self._error(prompt, f"{column} {self._without_row(max(ids), self.rows)}")

    def _without_row(self, token: int, rows: int) -> str:
        text = quoted(self.tokenizer.convert_ids_to_tokens(token))
        return (
            f"holds the token {text} (id {token}), and the model has embeddings of {rows} tokens "
            f"(ids 0 to {rows - 1}): the token was added to the tokenizer and not to the model; "
            "write another word, or use the tokenizer the model was trained with"
        )

    def _check_length(self, prompt: Prompt, tokenised: Sequence[TextTokens]) -> None:
        each = [(len(t.alone), len(t.answer) - 1, len(t.wrong_answer) - 1) for t in tokenised]
        longest = max(max(lengths) for lengths in each)
        if self.max_positions is not None and longest > self.max_positions:
            limit = f"{longest} tokens; the model can take {self.max_positions}"
            raise self._error(prompt, limit)

    def _apart(self, prompt: Prompt, tokenised: Sequence[TextTokens]) -> str:
        """Says which answer has other tokens after prompt than after corrupt."""
        after = [one.after(one.border) for one in tokenised]
        k = next((k for k in (0, 1) if after[0][k] != after[1][k]), 0)
        name, text = (("answer", prompt.answer), ("wrong_answer", prompt.wrong_answer))[k]
        read = [quoted(" ".join(self.tokenizer.convert_ids_to_tokens(a[k]))) for a in after]
        return (
            f"line {prompt.line}: {name} {quoted(text)} is read as {read[0]} after prompt and as "
            f"{read[1]} after corrupt; let both texts end in the same word and the answers begin "
            'with a blank or a line break, or use ``ablation="mean"``'
        )

    def _error(self, prompt: Prompt, what: str) -> InputError:
        return InputError(f"{self.source}, line {prompt.line}: {what}")


def unknown_id(tokenizer: Any) -> int | None:
    """The unknown token of the tokenizer's model.

    Families name one even where every byte is known (GPT-2 its end of text).
    """
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if not hasattr(getattr(backend, "model", None), "unk_token"):  # a Unigram model hides its own
        return tokenizer.unk_token_id
    token = backend.model.unk_token
    return backend.token_to_id(token) if token else None


def align(clean: Sequence[int], corrupt: Sequence[int], before: int) -> tuple[int, ...]:
    """The corrupt position that each clean position is patched from, −1 for none.

    The first ``before`` tokens keep their positions, all others are counted from the end: a causal
    model has read a whole name at its last tokens. The longer side's surplus, at the front of its
    differing words, has no partner. A token across the border to the differing words is not
    ``before`` it.
    """
    kept = common((clean[:before], corrupt))
    paired = min(len(clean), len(corrupt)) - kept
    alone, shift = len(clean) - paired, len(corrupt) - len(clean)
    return (*range(kept), *[-1] * (alone - kept), *(i + shift for i in range(alone, len(clean))))


def unequal_pairs(encoded: Sequence[Encoded]) -> list[Encoded]:
    """Unmarked prompts with other numbers of tokens in the corrupt twin, or other answer tokens."""
    return [e for e in _uneven(encoded) if e.partners is None]


def aligned_pairs(encoded: Sequence[Encoded]) -> list[Encoded]:
    """Prompts whose corrupt twin has another number of tokens and is aligned by marks."""
    return [e for e in _uneven(encoded) if e.partners is not None]


def _uneven(encoded: Sequence[Encoded]) -> list[Encoded]:
    return [e for e in encoded if e.corrupt is not None and _differs(e, e.corrupt)]


def _differs(encoded: Encoded, corrupt: Sequence[int]) -> bool:
    return bool(encoded.apart) or len(corrupt) != len(encoded.prompt)


def require_equal_pairs(encoded: Sequence[Encoded], source: str) -> None:
    """Refuse (InputError, with lines) pairs that cannot be patched position by position."""
    apart = next((e.apart for e in encoded if e.apart), "")
    if apart:
        raise InputError(f"{source}, {apart}")
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
        'or use ``ablation="mean"``, which needs no corrupt prompt'
    )
