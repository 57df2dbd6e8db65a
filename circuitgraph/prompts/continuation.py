"""Where a prompt ends and its answers begin, in token ids of prompt and answer as one text.

A token may lie across the border ("17" + "76" as one year, the blank at the end of a prompt and
the word after it). Such tokens belong to neither side alone, so a prompt ends with the last
token shared by the prompt alone and the prompt with either answer, and each answer is all that
follows. Text before the border is then scored alike with both answers and cancels in the
decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

Ids = tuple[int, ...]


@dataclass(frozen=True)
class TextTokens:
    """Token ids of one text: alone, and followed by each answer.

    ``others`` are those beside the first of each side, where sides are sets.
    """

    alone: Ids
    answer: Ids
    wrong_answer: Ids
    others: tuple[Ids, ...] = ()

    @property
    def border(self) -> int:
        """Number of tokens that all of them begin with."""
        return common((self.alone, self.answer, self.wrong_answer, *self.others))

    def after(self, border: int) -> tuple[Ids, ...]:
        """All answers from a border on, the first of each side in front."""
        return tuple(ids[border:] for ids in (self.answer, self.wrong_answer, *self.others))


def common(rows: Iterable[Sequence[Any]]) -> int:
    """Number of tokens (or characters) that all rows begin with."""
    columns = zip(*rows, strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def borders(clean: TextTokens, corrupt: TextTokens) -> tuple[int, int] | None:
    """Latest borders of a text and its corrupt twin with the same answer tokens after both.

    A border that only one of the two texts has to shift back is shifted in both. None where the
    answers are tokenised differently.
    """
    shift = len(corrupt.answer) - len(clean.answer)
    border = min(clean.border, corrupt.border - shift)
    if min(border, border + shift) < 0:
        return None
    alike = clean.after(border) == corrupt.after(border + shift)
    return (border, border + shift) if alike else None
