"""Texts with a common prefix packed into one row, so that the prefix is computed once.

Each text's own tokens follow the prefix and attend only to it and to themselves, with the positions
that they have in the text alone. Attention is causal, so results equal those of single texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.prompts.continuation import common
from circuitgraph.training.texts import Ids, Text


@dataclass(frozen=True)
class ScoredToken:
    """A token whose log-probability counts.

    Attributes
    ----------
    position
        Position in the row that predicts it.
    token
        Its id.
    text, answer
        Index of the text in the row, and 0 for the label of C, 1 for that of D.
    """

    position: int
    token: int
    text: int
    answer: int


@dataclass(frozen=True)
class Row:
    """Texts packed into one row of tokens.

    Attributes
    ----------
    texts
        Texts whose answers are scored.
    tokens, positions, owner
        Token ids, position of each in its own text, and the packed sequence it belongs to (−1:
        the common prefix).
    scored
        All answer tokens.
    continues
        Whether its one text is the last of the row before, with other answers.
    """

    texts: tuple[Text, ...]
    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    owner: tuple[int, ...]
    scored: tuple[ScoredToken, ...]
    continues: bool = False

    @property
    def mask(self) -> Tensor:
        """Whether token i attends to token j [T, T]."""
        owner = torch.tensor(self.owner)
        seen = (owner[:, None] == owner[None]) | (owner == -1)[None]
        return seen.tril()


def packed(texts: Sequence[Text]) -> Row:
    """Pack several texts, with their answers of several tokens, into one row."""
    sequences, sequence_of = _sequences(texts)
    # the last token of the shortest is scored, so it cannot be part of the prefix
    shared = min(common(sequences), min(map(len, sequences)) - 1)
    tokens: list[int] = list(sequences[0][:shared])
    positions, owner = list(range(shared)), [-1] * shared
    starts = []
    for number, sequence in enumerate(sequences):
        starts.append(len(tokens) - shared)
        tokens += sequence[shared:]
        positions += range(shared, len(sequence))
        owner += [number] * (len(sequence) - shared)
    scored = [
        ScoredToken(
            (len(texts[text].ids) - 1 + step)
            + (starts[number] if len(texts[text].ids) - 1 + step >= shared else 0),
            token,
            text,
            answer,
        )
        for (text, answer), number in sequence_of.items()
        for step, token in enumerate(texts[text].answers[answer])
    ]
    return Row(tuple(texts), tuple(tokens), tuple(positions), tuple(owner), tuple(scored))


def single(text: Text) -> list[Row]:
    """Unpacked rows of one text: one for each prefix of its answers."""
    sequences, sequence_of = _sequences([text])
    rows = []
    for number, sequence in enumerate(sequences):
        scored = tuple(
            ScoredToken(len(text.ids) - 1 + step, token, 0, answer)
            for (_, answer), own in sequence_of.items()
            if own == number
            for step, token in enumerate(text.answers[answer])
        )
        positions, owner = tuple(range(len(sequence))), (0,) * len(sequence)
        rows.append(Row((text,), sequence, positions, owner, scored, continues=number > 0))
    return rows


def _sequences(texts: Sequence[Text]) -> tuple[list[Ids], dict[tuple[int, int], int]]:
    """Sequences to run: every text with each answer but its last token, without repeats.

    Also the index of the sequence that predicts each (text, answer).
    """
    found: list[Ids] = []
    sequence_of: dict[tuple[int, int], int] = {}
    for number, text in enumerate(texts):
        own: dict[Ids, int] = {}
        for answer, ids in enumerate(text.answers):
            sequence = text.ids + ids[:-1]
            if sequence not in own:
                own[sequence] = len(found)
                found.append(sequence)
            sequence_of[number, answer] = own[sequence]
    return found, sequence_of


@dataclass(frozen=True)
class Rows:
    """Several rows as tensors, padded on the right.

    Attributes
    ----------
    tokens, positions
        [R, T].
    mask
        Added to attention scores [R, 1, T, T]; None for single texts, which are causal.
    read
        Scored positions [R, K].
    scored
        For every scored token: row, index into ``read``, token id, text (over all rows), answer
        [N, 5].
    texts
        Of all rows.
    """

    tokens: Tensor
    positions: Tensor
    mask: Tensor | None
    read: Tensor
    scored: Tensor
    texts: tuple[Text, ...]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Rows:
        """Pad and stack rows."""
        length = max(len(row.tokens) for row in rows)
        read = [sorted({token.position for token in row.scored}) for row in rows]
        most = max(map(len, read))
        scored, texts = [], list[Text]()
        for number, (row, own) in enumerate(zip(rows, read, strict=True)):
            first = len(texts) - row.continues
            scored += [
                (number, own.index(t.position), t.token, first + t.text, t.answer)
                for t in row.scored
            ]
            texts += () if row.continues else row.texts
        return cls(
            _padded([row.tokens for row in rows], length),
            _padded([row.positions for row in rows], length),
            _masks(rows, length),
            torch.tensor([[*own, *[own[-1]] * (most - len(own))] for own in read]),
            torch.tensor(scored),
            tuple(texts),
        )

    def to(self, device: str) -> Rows:
        """Copy to another device."""
        tensors = (self.tokens, self.positions, self.mask, self.read, self.scored)
        tokens, positions, mask, read, scored = (t if t is None else t.to(device) for t in tensors)
        return Rows(tokens, positions, mask, read, scored, self.texts)  # type: ignore[arg-type]

    def scores(self, logits: Tensor) -> Tensor:
        """Log-probability of every answer of every text [texts, answers] from logits [R, K, V]."""
        width = len(self.texts[0].answers)
        row, position, token, text, answer = self.scored.T
        log_p = logits.float().log_softmax(-1)[row, position, token]
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
