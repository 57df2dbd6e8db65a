"""Training data: texts of all four states, in groups that differ only in the last moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from random import Random
from typing import Any

from circuitgraph.base.components import digest
from circuitgraph.base.errors import InputError
from circuitgraph.games.payoffs import MOVES, STATES, with_states
from circuitgraph.games.prompts import HELD_OUT
from circuitgraph.prompts.continuation import common
from circuitgraph.prompts.record import PromptSet
from circuitgraph.prompts.tokens import Encoded, encode, require_equal_pairs

ONE_IN = 4
"""Without wordings marked as held out, every so many-th is."""

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Text:
    """One prompt in one state.

    Attributes
    ----------
    ids
        Token ids of the prompt.
    answers
        Token ids of the labels of C and D (or of all their spellings); equally many in all texts
        of a batch.
    state, game, wording
        Both last moves, own first; the game; the wording, over which intervals are computed.
    """

    ids: Ids
    answers: tuple[Ids, ...]
    state: str
    game: str
    wording: str


@dataclass(frozen=True)
class Group:
    """One text per state, with the longest common prefixes that the file allows."""

    texts: tuple[Text, ...]


@dataclass(frozen=True)
class Data:
    """Groups for training and for testing.

    Attributes
    ----------
    train, held_out
        Without common wordings.
    remarks
        Assumptions about the file.
    """

    train: tuple[Group, ...]
    held_out: tuple[Group, ...]
    remarks: tuple[str, ...] = field(default=(), compare=False)

    @property
    def games(self) -> list[str]:
        """Names of all games, sorted."""
        return sorted({t.game for group in (*self.train, *self.held_out) for t in group.texts})

    @cached_property  # of every token of every text; asked for every plan and seed
    def hash(self) -> str:
        """Hash of all texts."""
        parts = ([[asdict(t) for t in g.texts] for g in p] for p in (self.train, self.held_out))
        return digest("data", *parts)


@dataclass(frozen=True)
class _Pair:
    """A text in which the other player's last move was C, and its twin with D."""

    after: tuple[Text, Text]
    held_out: bool

    @property
    def own(self) -> str:
        return self.after[0].state[0]

    @property
    def cell(self) -> tuple[str, str, bool]:
        first = self.after[0]
        return first.game, first.wording, self.held_out


def training_data(prompts: PromptSet, tokenizer: Any, rows: int | None = None) -> Data:
    """Groups of texts from a prompt file.

    ``answer`` is cooperation, and the corrupt twin differs in the other player's last move: each
    row gives two texts.

    Parameters
    ----------
    prompts
        With corrupt twins and one answer a side.
    tokenizer
        Of the model.
    rows
        Number of token embeddings of the model.

    Raises
    ------
    InputError
        No states, no corrupt twins, sets of answers, twins of unequal length, a text in two
        states, or a state without a text.
    """
    if not prompts.has_pairs:
        raise InputError(f"{prompts.source}: training needs {prompts.lacking} in every row")
    if any(prompt.also or prompt.also_wrong for prompt in prompts):
        raise InputError(f"{prompts.source}: training needs one answer a side, not sets of them")
    prompts, remarks = with_states(prompts)
    encoded = encode(prompts, tokenizer, rows=rows).prompts
    require_equal_pairs(encoded, prompts.source)
    pairs = _pairs(encoded, prompts.source)
    if not any(pair.held_out for pair in pairs):
        pairs, how = _holding_out(pairs)
        remarks.append(f"{prompts.source}: no row is marked {HELD_OUT} in a column split; {how}")
    parts = (tuple(_groups([p for p in pairs if p.held_out == out])) for out in (False, True))
    train, held_out = parts
    _require_all_states(train, held_out, prompts.source)
    return Data(train, held_out, tuple(remarks))


def _pairs(encoded: Iterable[Encoded], source: str) -> list[_Pair]:
    found: dict[frozenset, _Pair] = {}
    states: dict[Ids, tuple[str, int]] = {}
    for row in encoded:
        prompt = row.source
        own, other = prompt.state[0], prompt.state[1]
        wording = prompt.template or f"line {prompt.line}"
        answers = (row.answer, row.wrong_answer)
        texts = [
            Text(ids or (), answers, own + move, prompt.game or "", wording)
            for ids, move in ((row.prompt, other), (row.corrupt, "CD"[other == "C"]))
        ]
        for text in texts:
            state, line = states.setdefault(text.ids, (text.state, prompt.line))
            if state != text.state:
                raise InputError(
                    f"{source}, line {prompt.line}: a text of state {text.state} that line {line} "
                    f"has as {state}; a corrupt twin must differ in the other's last move alone"
                )
        ordered = sorted(texts, key=lambda text: text.state)
        pair = _Pair((ordered[0], ordered[1]), prompt.split == HELD_OUT)
        found.setdefault(frozenset(text.ids for text in texts), pair)
    return list(found.values())


def _holding_out(pairs: Sequence[_Pair]) -> tuple[list[_Pair], str]:
    """Hold out every fourth wording, or without names every fourth pair of each own move."""
    wordings = list(dict.fromkeys(pair.after[0].wording for pair in pairs))
    named = not wordings[0].startswith("line ") and len(wordings) >= ONE_IN
    if named:
        chosen = set(wordings[ONE_IN - 1 :: ONE_IN])
        kept = [replace(p, held_out=p.after[0].wording in chosen) for p in pairs]
        return kept, f"every {ONE_IN}th wording is held out"
    out = set()
    for own in MOVES:
        mine = [i for i, pair in enumerate(pairs) if pair.own == own]
        out |= set(mine[ONE_IN - 1 :: ONE_IN])
    return (
        [replace(pair, held_out=i in out) for i, pair in enumerate(pairs)],
        f"every {ONE_IN}th pair is held out, though its words may be trained on elsewhere",
    )


def _groups(pairs: Sequence[_Pair]) -> Iterator[Group]:
    """Each pair with the pair of the other own move that shares most tokens with it."""
    own = {move: [pair for pair in pairs if pair.own == move] for move in MOVES}
    if not all(own.values()):
        return
    used: set[int] = set()
    for pair in own["C"]:
        partner = _nearest(pair, own["D"])
        used.add(id(partner))
        yield Group((*pair.after, *partner.after))
    for pair in own["D"]:
        if id(pair) not in used:
            yield Group((*_nearest(pair, own["C"]).after, *pair.after))


def _nearest(pair: _Pair, others: Sequence[_Pair]) -> _Pair:
    same = [other for other in others if other.cell == pair.cell]
    game = [other for other in others if other.cell[0] == pair.cell[0]]
    return min(same or game or others, key=partial(_distance, pair))


def _distance(pair: _Pair, other: _Pair) -> int:
    """Tokens between the common beginning and the common end of two texts."""
    ids, theirs = pair.after[0].ids, other.after[0].ids
    start = common((ids, theirs))
    end = common((ids[start:][::-1], theirs[start:][::-1]))
    return max(len(ids), len(theirs)) - start - end


def _require_all_states(train: Sequence[Group], held: Sequence[Group], source: str) -> None:
    for groups, which in ((train, "to train on"), (held, "held out")):
        there = {text.state for group in groups for text in group.texts}
        lacking = [state for state in STATES if state not in there]
        if lacking:
            raise InputError(
                f"{source}: among the rows {which} none is in state {lacking[0]}; every state is "
                "needed on both sides (columns state_self, state_other, split)"
            )


def visits(groups: Sequence[Group], count: int, size: int, seed: int) -> list[list[int]]:
    """Groups of each step: all in turn, in a new random order every epoch.

    Parameters
    ----------
    groups
        All groups.
    count, size
        Steps, and groups per step.
    seed
        Of the order.
    """
    random, found = Random(f"visits {seed}"), list[int]()
    while len(found) < count * size:
        order = list(range(len(groups)))
        random.shuffle(order)
        found += order
    return [found[i * size : (i + 1) * size] for i in range(count)]
