"""Texts that begin alike as one row: what they share is computed once.

After the common beginning each text's own end follows, which attends to the beginning and to
itself; positions are counted as if it stood alone. Attention is causal, so the numbers are those
of the texts one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.prompts.continuation import common
from circuitgraph.training.texts import Ids, Text


@dataclass(frozen=True)
class Judged:
    """A token whose log-probability counts.

    Attributes
    ----------
    place
        Position in the row after which it is predicted.
    token
        Its id.
    text, answer
        Index of the text in the row, and 0 for the label of C, 1 for that of D.
    """

    place: int
    token: int
    text: int
    answer: int


@dataclass(frozen=True)
class Row:
    """Texts packed into one row of tokens.

    Attributes
    ----------
    texts
        Whose answers are judged.
    tokens, positions, owner
        Token ids, positions as if every text stood alone, and which of the packed sequences a
        token belongs to (−1: the common beginning).
    judged
        All answer tokens.
    goes_on
        Its one text is the last of the row before, with other answers.
    """

    texts: tuple[Text, ...]
    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    owner: tuple[int, ...]
    judged: tuple[Judged, ...]
    goes_on: bool = False

    @property
    def mask(self) -> Tensor:
        """Whether a token attends to another [T, T]."""
        owner = torch.tensor(self.owner)
        seen = (owner[:, None] == owner[None]) | (owner == -1)[None]
        return seen.tril()


def packed(texts: Sequence[Text]) -> Row:
    """One row for several texts; answers of several tokens are packed behind them."""
    sequences, whose = _sequences(texts)
    # the last token of the shortest must be its own: something has to be judged there
    shared = min(common(sequences), min(map(len, sequences)) - 1)
    tokens: list[int] = list(sequences[0][:shared])
    positions, owner = list(range(shared)), [-1] * shared
    starts = []
    for number, sequence in enumerate(sequences):
        starts.append(len(tokens) - shared)
        tokens += sequence[shared:]
        positions += range(shared, len(sequence))
        owner += [number] * (len(sequence) - shared)
    judged = [
        Judged(
            (len(texts[text].ids) - 1 + step)
            + (starts[number] if len(texts[text].ids) - 1 + step >= shared else 0),
            token,
            text,
            answer,
        )
        for (text, answer), number in whose.items()
        for step, token in enumerate(texts[text].answers[answer])
    ]
    return Row(tuple(texts), tuple(tokens), tuple(positions), tuple(owner), tuple(judged))


def single(text: Text) -> list[Row]:
    """Rows for one text without any packing: one for each beginning of its answers."""
    sequences, whose = _sequences([text])
    rows = []
    for number, sequence in enumerate(sequences):
        judged = tuple(
            Judged(len(text.ids) - 1 + step, token, 0, answer)
            for (_, answer), own in whose.items()
            if own == number
            for step, token in enumerate(text.answers[answer])
        )
        place, alone = tuple(range(len(sequence))), (0,) * len(sequence)
        rows.append(Row((text,), sequence, place, alone, judged, goes_on=number > 0))
    return rows


def _sequences(texts: Sequence[Text]) -> tuple[list[Ids], dict[tuple[int, int], int]]:
    """Tokens that must be run: every text with all of an answer but its last token, each once.

    Also says which sequence judges which answer of which text.
    """
    found: list[Ids] = []
    whose: dict[tuple[int, int], int] = {}
    for number, text in enumerate(texts):
        mine: dict[Ids, int] = {}
        for answer, ids in enumerate(text.answers):
            sequence = text.ids + ids[:-1]
            if sequence not in mine:
                mine[sequence] = len(found)
                found.append(sequence)
            whose[number, answer] = mine[sequence]
    return found, whose


@dataclass(frozen=True)
class Rows:
    """Several rows as tensors, padded on the right.

    Attributes
    ----------
    tokens, positions
        [R, T].
    mask
        What is added to attention scores [R, 1, T, T]; None for single texts, which are causal.
    read
        Positions whose next token is judged [R, K].
    judged
        For every judged token: row, index into ``read``, token id, text, answer [N, 5]; texts are
        counted over all rows.
    texts
        Of all rows.
    """

    tokens: Tensor
    positions: Tensor
    mask: Tensor | None
    read: Tensor
    judged: Tensor
    texts: tuple[Text, ...]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Rows:
        """Stack rows."""
        length = max(len(row.tokens) for row in rows)
        places = [sorted({judged.place for judged in row.judged}) for row in rows]
        most = max(map(len, places))
        judged, texts = [], list[Text]()
        for number, (row, own) in enumerate(zip(rows, places, strict=True)):
            first = len(texts) - row.goes_on
            judged += [
                (number, own.index(j.place), j.token, first + j.text, j.answer) for j in row.judged
            ]
            texts += () if row.goes_on else row.texts
        return cls(
            _padded([row.tokens for row in rows], length),
            _padded([row.positions for row in rows], length),
            _masks(rows, length),
            torch.tensor([[*own, *[own[-1]] * (most - len(own))] for own in places]),
            torch.tensor(judged),
            tuple(texts),
        )

    def to(self, device: str) -> Rows:
        """The same on another device."""
        mask = None if self.mask is None else self.mask.to(device)
        return Rows(
            self.tokens.to(device),
            self.positions.to(device),
            mask,
            self.read.to(device),
            self.judged.to(device),
            self.texts,
        )

    def scores(self, logits: Tensor) -> Tensor:
        """Log-probability of every answer of every text [texts, answers] from logits [R, K, V]."""
        width = len(self.texts[0].answers)
        row, place, token, text, answer = self.judged.T
        log_p = logits.float().log_softmax(-1)[row, place, token]
        total = log_p.new_zeros(len(self.texts) * width)
        return total.index_add(0, text * width + answer, log_p).view(-1, width)


def _padded(rows: Sequence[Sequence[int]], length: int) -> Tensor:
    return torch.tensor([[*row, *[0] * (length - len(row))] for row in rows])


def _masks(rows: Sequence[Row], length: int) -> Tensor | None:
    if all(set(row.owner) <= {-1, 0} for row in rows):
        return None
    allowed = torch.eye(length, dtype=torch.bool).repeat(len(rows), 1, 1)
    for number, row in enumerate(rows):
        size = len(row.tokens)
        allowed[number, :size, :size] = row.mask
    added = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
    return added[:, None]
