"""Prompts as tensors: which rows run, where they are patched, where they are judged.

Answers are teacher-forced, and the log-probabilities of their tokens summed. Both first
tokens are judged after the prompt itself; an answer of several tokens is a row, and a
prompt whose two answers are one token each is one row. Only the prompt's positions are
ever patched; rows are padded on the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitgraph.tokens import Encoded


@dataclass(frozen=True)
class Batch:
    """R rows for n prompts.

    Attributes:
        clean, corrupt: token ids [R, T]; equal where there is no corrupt prompt.
        prompt_end: number of prompt tokens [R].
        start: first position that patching can change [R].
        read: positions whose next token is judged [R, K]; repeated where a row has fewer.
        targets: judged token ids [R, K, J], with signs [R, K, J]: +1 answer, −1 wrong
            answer, 0 padding.
        owner: index of each row's prompt [R].
        n: number of prompts.
    """

    clean: Tensor
    corrupt: Tensor
    prompt_end: Tensor
    start: Tensor
    read: Tensor
    targets: Tensor
    signs: Tensor
    owner: Tensor
    n: int

    @property
    def width(self) -> int:
        """Positions from ``start`` to the end of the row that needs most."""
        return int((self.read[:, -1] - self.start).max()) + 1

    @property
    def positions(self) -> Tensor:
        """Window positions [R, W]; rows that end early run past their end."""
        steps = torch.arange(self.width, device=self.start.device)
        return self.start[:, None] + steps

    @property
    def index(self) -> Tensor:
        """Window positions clipped to what exists, for gathering [R, W]."""
        return self.positions.clamp_max(self.clean.shape[1] - 1)

    @property
    def patched(self) -> Tensor:
        """1 where a window position belongs to the prompt, else 0: [R, W, 1]."""
        return (self.positions < self.prompt_end[:, None]).float()[..., None]


@dataclass(frozen=True)
class _Row:
    clean: tuple[int, ...]
    corrupt: tuple[int, ...]
    prompt_end: int
    judged: tuple[tuple[tuple[int, int], ...], ...]
    owner: int


def make_batch(prompts: Sequence[Encoded], *, whole: bool = False) -> Batch:
    """Rows for encoded prompts with answers.

    Args:
        prompts: all with answers; with corrupt prompts of the same length unless ``whole``.
        whole: patch every prompt position (mean and zero ablation), whatever differs.
    """
    rows = [row for i, prompt in enumerate(prompts) for row in _rows(prompt, i)]
    length = max(len(row.clean) for row in rows)
    judged = max(len(row.judged) for row in rows)
    start = [0 if whole else _first_difference(row) for row in rows]
    pairs = [[_pad(group) for group in _extend(row.judged, judged)] for row in rows]
    return Batch(
        clean=torch.tensor([_fill(row.clean, length) for row in rows]),
        corrupt=torch.tensor([_fill(row.corrupt, length) for row in rows]),
        prompt_end=torch.tensor([row.prompt_end for row in rows]),
        start=torch.tensor(start),
        read=torch.tensor([_read(row, judged) for row in rows]),
        targets=torch.tensor([[[t for t, _ in group] for group in row] for row in pairs]),
        signs=torch.tensor([[[float(s) for _, s in group] for group in row] for row in pairs]),
        owner=torch.tensor([row.owner for row in rows]),
        n=len(prompts),
    )


def _rows(prompt: Encoded, owner: int) -> list[_Row]:
    corrupt = prompt.corrupt if prompt.corrupt is not None else prompt.prompt
    first = ((prompt.answer[0], 1), (prompt.wrong_answer[0], -1))
    signed = ((prompt.answer, 1), (prompt.wrong_answer, -1))
    longer = [(answer, sign) for answer, sign in signed if len(answer) > 1]
    rows: list[_Row] = []
    for answer, sign in longer or [(prompt.answer, 1)]:
        judged = (() if rows else first, *(((token, sign),) for token in answer[1:]))
        shown = answer[:-1]
        rows.append(_Row(prompt.prompt + shown, corrupt + shown, len(prompt.prompt), judged, owner))
    return rows


def _first_difference(row: _Row) -> int:
    differs = (i for i, (a, b) in enumerate(zip(row.clean, row.corrupt, strict=True)) if a != b)
    return next(differs, row.prompt_end - 1)


def _fill(tokens: tuple[int, ...], length: int) -> list[int]:
    # Any token will do as padding: nothing before it can see it.
    return list(tokens) + [tokens[-1]] * (length - len(tokens))


def _read(row: _Row, judged: int) -> list[int]:
    first, last = row.prompt_end - 1, len(row.clean) - 1
    return [min(first + k, last) for k in range(judged)]


def _extend(groups: tuple, length: int) -> list:
    return list(groups) + [()] * (length - len(groups))


def _pad(group: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    return list(group) + [(0, 0)] * (2 - len(group))


def gather(x: Tensor, index: Tensor) -> Tensor:
    """x [R, T, …] at positions [R, W] -> [R, W, …]."""
    rows = torch.arange(x.shape[0], device=x.device)[:, None]
    return x[rows, index]
