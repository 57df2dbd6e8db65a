"""Prompts as tensors: rows, patched positions, scored positions.

Answers are teacher-forced, and the log-probabilities of their tokens summed. Both first tokens
are scored after the prompt; an answer of several tokens is a row, and a prompt whose two
answers are one token each is one row. Only the prompt's positions are patched; rows are padded
on the right. A corrupt row may have another length than its clean row: each position is then
patched from its partner (``tokens.align``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from circuitgraph.prompts.tokens import Encoded


@dataclass(frozen=True)
class Batch:
    """R rows for n prompts.

    Attributes
    ----------
    clean, corrupt : int [R, T], [R, T']
        Token ids; equal where there is no corrupt prompt or everything is patched.
    prompt_end : int [R]
        Number of prompt tokens.
    start : int [R]
        First position that patching can change.
    read : int [R, K]
        Positions whose next token is scored; repeated where a row has fewer.
    targets, signs : [R, K, J]
        Scored token ids; +1 answer, −1 wrong answer, 0 padding. J is 2, or more for sets.
    owner : int [R]
        Index of each row's prompt.
    partners : int [R, T]
        Corrupt position that each clean position is patched from, −1 for none.
    corrupt_read : int [R, K]
        The positions of ``read`` in the corrupt rows.
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
    partners: Tensor
    corrupt_read: Tensor

    @property
    def ends(self) -> Tensor:
        """Number of tokens of each clean row without its padding [R]."""
        return self.read[:, -1] + 1

    @property
    def corrupt_ends(self) -> Tensor:
        """Number of tokens of each corrupt row without its padding [R]."""
        return self.corrupt_read[:, -1] + 1

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
    def corrupt_index(self) -> Tensor:
        """Partners of the window positions, any position where there is none [R, W]."""
        return gather(self.partners, self.index).clamp_min(0)

    @property
    def patched(self) -> Tensor:
        """1 where a window position is the prompt's and has a partner, else 0: [R, W, 1]."""
        inside = self.positions < self.prompt_end[:, None]
        return (inside & (gather(self.partners, self.index) >= 0)).float()[..., None]

    @property
    def alone(self) -> Tensor:
        """Where one side is scored without the other: the softmax does not cancel [R, K]."""
        return (self.signs > 0).any(-1) != (self.signs < 0).any(-1)

    def side(self, scores: Tensor, sign: float) -> Tensor:
        """Log-probability of one side (sign ±1) at every scored position [..., R, K].

        ``scores`` are log-probabilities of the targets [..., R, K, J]; a set's is of any of its
        tokens, and 0 where the side has no token.
        """
        own = self.signs == sign
        if self.signs.shape[-1] == 2:
            return (scores * own).sum(-1)
        # not −inf: the gradient of a side of none would be no number
        every = scores.masked_fill(~own, -1e30).logsumexp(-1)
        return torch.where(own.any(-1), every, torch.zeros_like(every))

    def balance(self, scores: Tensor) -> Tensor:
        """Decision of every prompt [..., n] from the targets' log-probabilities [..., R, K, J].

        For sets: log Σ p(answers) − log Σ p(wrong answers).
        """
        if self.signs.shape[-1] == 2:
            return self.by_prompt((scores * self.signs).sum((-1, -2)))
        return self.by_prompt((self.side(scores, 1.0) - self.side(scores, -1.0)).sum(-1))

    def by_prompt(self, by_row: Tensor) -> Tensor:
        """Sums over the rows of each prompt: [..., R] -> [..., n]."""
        total = by_row.new_zeros(*by_row.shape[:-1], self.n)
        return total.index_add(-1, self.owner, by_row)


@dataclass(frozen=True)
class _Row:
    clean: tuple[int, ...]
    corrupt: tuple[int, ...]
    partners: tuple[int, ...]
    start: int
    judged: tuple[tuple[tuple[int, int], ...], ...]
    owner: int

    @property
    def prompt_end(self) -> int:
        return len(self.partners)


def window(prompt: Encoded, ablation: str) -> int:
    """Number of positions an effect recomputes: from the first that is patched to the end."""
    first = (prompt.first_change or 0) if ablation == "corrupt" else 0
    return len(prompt.prompt) - first + max(len(prompt.answer), len(prompt.wrong_answer), 1) - 1


def in_batches(prompts: Sequence[Encoded], ablation: str | None, size: int) -> list[list[int]]:
    """Rows of each batch, of similar cost, to save padding.

    Activity (``ablation`` None) does not depend on the corrupt twin.
    """
    reach = [0 if ablation is None else window(p, ablation) for p in prompts]
    order = sorted(range(len(prompts)), key=lambda i: (reach[i], len(prompts[i].prompt), i))
    return [order[k : k + size] for k in range(0, len(order), size)]


def make_batch(
    prompts: Sequence[Encoded], *, whole: bool = False, border: int | None = None
) -> Batch:
    """Rows for encoded prompts with answers.

    Parameters
    ----------
    prompts : sequence of Encoded
        With corrupt prompts of the same length, or aligned, unless ``whole``.
    whole : bool
        Patch every prompt position (mean and zero ablation) without the corrupt prompts.
    border : int, optional
        ``Model.border``: where only one answer leads beyond it, each has a row of its own.
    """
    rows = [row for i, prompt in enumerate(prompts) for row in _rows(prompt, i, whole, border)]
    clean, _ = right_padded([row.clean for row in rows])
    corrupt, _ = right_padded([row.corrupt for row in rows])
    judged = max(len(row.judged) for row in rows)
    most = max(2, max(len(group) for row in rows for group in row.judged))
    pairs = [
        [_padded(group, most, (0, 0)) for group in _padded(row.judged, judged, ())] for row in rows
    ]
    read = torch.tensor([_read(row, judged) for row in rows])
    shift = torch.tensor([[len(row.corrupt) - len(row.clean)] for row in rows])
    return Batch(
        clean=clean,
        corrupt=corrupt,
        prompt_end=torch.tensor([row.prompt_end for row in rows]),
        start=torch.tensor([row.start for row in rows]),
        read=read,
        targets=torch.tensor([[[t for t, _ in group] for group in row] for row in pairs]),
        signs=torch.tensor([[[float(s) for _, s in group] for group in row] for row in pairs]),
        owner=torch.tensor([row.owner for row in rows]),
        n=len(prompts),
        partners=torch.tensor([_padded(row.partners, clean.shape[1], -1) for row in rows]),
        corrupt_read=read + shift,
    )


def _rows(prompt: Encoded, owner: int, whole: bool, border: int | None) -> list[_Row]:
    corrupt = prompt.prompt if whole or prompt.corrupt is None else prompt.corrupt
    partners, start = _aligned(prompt, corrupt, whole)
    first = (
        *((ids[0], 1) for ids in (prompt.answer, *prompt.also)),
        *((ids[0], -1) for ids in (prompt.wrong_answer, *prompt.also_wrong)),
    )
    signed = ((prompt.answer, 1), (prompt.wrong_answer, -1))
    apart = border is not None and _across(border, (prompt.prompt, corrupt), signed)
    longer = [(answer, sign) for answer, sign in signed if apart or len(answer) > 1]
    rows: list[_Row] = []
    for answer, sign in longer or [(prompt.answer, 1)]:
        begins = ((answer[0], sign),) if apart else () if rows else first
        judged = (begins, *(((token, sign),) for token in answer[1:]))
        shown = answer[:-1]
        rows.append(_Row(prompt.prompt + shown, corrupt + shown, partners, start, judged, owner))
    return rows


def _across(
    border: int, texts: Sequence[tuple[int, ...]], signed: Sequence[tuple[tuple[int, ...], int]]
) -> bool:
    """Whether one answer leads a row beyond the border and the other does not."""
    sides = [{len(text + answer) - 1 > border for answer, _ in signed} for text in texts]
    return any(len(side) > 1 for side in sides)


def _aligned(prompt: Encoded, corrupt: tuple[int, ...], whole: bool) -> tuple[tuple[int, ...], int]:
    """Partners of the prompt's positions, and the first that patching can change."""
    itself = tuple(range(len(prompt.prompt)))
    if whole:
        return itself, 0
    start = itself[-1] if prompt.first_change is None else prompt.first_change
    if prompt.partners is not None:
        return prompt.partners, start
    if len(corrupt) != len(itself):
        raise ValueError("a pair of unequal lengths, and nothing says what to align")
    return itself, start


def _read(row: _Row, judged: int) -> list[int]:
    first, last = row.prompt_end - 1, len(row.clean) - 1
    return [min(first + k, last) for k in range(judged)]


def _padded(values: Sequence[Any], length: int, filler: Any) -> list[Any]:
    return [*values, *[filler] * (length - len(values))]


def right_padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids [R, T] padded on the right, and the last position of each row [R]."""
    length = max(map(len, rows))
    # Any token will do as padding: nothing before it can see it.
    tokens = torch.tensor([_padded(row, length, row[-1]) for row in rows])
    return tokens, torch.tensor([len(row) - 1 for row in rows])


def gather(x: Tensor, index: Tensor) -> Tensor:
    """x [R, T, …] at positions [R, W] -> [R, W, …]."""
    rows = torch.arange(x.shape[0], device=x.device)[:, None]
    return x[rows, index]
