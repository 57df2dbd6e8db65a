"""Prompts as token ids: beginning-of-sequence, chat templates, answers, and their traps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from circuitgraph.errors import InputError
from circuitgraph.prompts import Prompt, PromptSet


@dataclass(frozen=True)
class Encoded:
    """One prompt's token ids.

    Attributes:
        prompt: with the beginning-of-sequence token where the tokenizer has one.
        corrupt: the corrupt prompt likewise, or None.
        answer, wrong_answer: encoded alone, as written; empty where there are none.
        source: the prompt as read, with its line.
    """

    prompt: tuple[int, ...]
    corrupt: tuple[int, ...] | None
    answer: tuple[int, ...]
    wrong_answer: tuple[int, ...]
    source: Prompt


@dataclass(frozen=True)
class EncodedSet:
    """Encoded prompts, and how their beginnings were made.

    Attributes:
        prompts: in the order given.
        bos: ``added``, ``present`` (in every text already) or ``none``.
        template: ``chat`` or "".
    """

    prompts: tuple[Encoded, ...]
    bos: str
    template: str


def encode(
    prompts: PromptSet,
    tokenizer: Any,
    *,
    chat_template: bool = False,
    max_positions: int | None = None,
) -> EncodedSet:
    """Encode every prompt, corrupt prompt and answer.

    The tokenizer's own beginning-of-sequence token is put in front once, unless the
    text begins with it already or the tokenizer has none. Answers are encoded alone.

    Args:
        prompts: as read.
        tokenizer: a transformers fast tokenizer.
        chat_template: wrap each prompt as one user turn, ready for the reply.
        max_positions: longest sequence the model can run.

    Raises:
        InputError: no tokens, unknown tokens only, too long, or no chat template.
    """
    if chat_template and not getattr(tokenizer, "chat_template", None):
        raise InputError(
            "--chat-template: this tokenizer has no chat template; leave the option out "
            "and write the turns into the prompts"
        )
    encoder = _Encoder(tokenizer, prompts.source, chat_template, max_positions)
    encoded = tuple(encoder.encode(prompt) for prompt in prompts.prompts)
    return EncodedSet(encoded, encoder.bos(encoded), "chat" if chat_template else "")


@dataclass(frozen=True)
class _Encoder:
    tokenizer: Any
    source: str
    chat: bool
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
        return Encoded(clean, corrupt, answer, wrong, prompt)

    def bos(self, encoded: Sequence[Encoded]) -> str:
        if self.tokenizer.bos_token_id is None:
            return "none"
        texts = [self._text(e.source.prompt) for e in encoded]
        starts = [self._ids(text)[:1] == [self.tokenizer.bos_token_id] for text in texts]
        return "present" if all(starts) else "added"

    def _prompt(self, text: str, prompt: Prompt, column: str) -> tuple[int, ...]:
        ids = self._checked(self._text(text), prompt, column)
        bos = self.tokenizer.bos_token_id
        if bos is not None and ids[0] != bos:
            ids = [bos, *ids]
        return tuple(ids)

    def _answer(self, text: str | None, prompt: Prompt, column: str) -> tuple[int, ...]:
        return () if text is None else tuple(self._checked(text, prompt, column))

    def _text(self, text: str) -> str:
        if not self.chat:
            return text
        turn = [{"role": "user", "content": text}]
        try:
            return self.tokenizer.apply_chat_template(
                turn, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # templates are programs of their own and fail in their own way
            said = " ".join(str(error).split())[:200]
            raise InputError(
                f"--chat-template: this tokenizer's template fails ({said})"
            ) from error

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


def unequal_pairs(encoded: Sequence[Encoded]) -> list[Encoded]:
    """Prompts whose corrupt twin has another number of tokens."""
    return [e for e in encoded if e.corrupt is not None and len(e.corrupt) != len(e.prompt)]


def require_equal_pairs(encoded: Sequence[Encoded], source: str) -> None:
    """Refuse pairs that cannot be patched position by position.

    Raises:
        InputError: names the lines and both exits.
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
        "until both have as many tokens, or use --ablation mean, which needs no corrupt prompt"
    )
