"""Wordings of one round of a repeated game: 24 situations, three styles of payoffs.

In every wording the moves of the last round stand at the end, so that the four states of a
wording share nearly all of their tokens: training computes these once, and effects only begin where
texts differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from circuitgraph.games.payoffs import MOVES, Game


@dataclass(frozen=True)
class Frame:
    """A situation of the game.

    Attributes
    ----------
    name
        For the column ``template``.
    opening, history, question
        Texts with the labels in their order (``x``, ``y``) and the last moves (``own``, ``other``).
    held_out
        Nothing is trained on it.
    """

    name: str
    opening: str
    history: str
    question: str
    held_out: bool = False


FRAMES = (
    Frame(
        "rounds",
        "Two players choose {x} or {y} at the same time, again and again.",
        "In the previous round you chose {own}; the other player chose {other}.",
        "Which do you choose next, {x} or {y}?",
    ),
    Frame(
        "Sam",
        "You meet Sam every day. Each of you says {x} or {y}.",
        "Yesterday Sam said {other} and you said {own}.",
        "What will you say today: {x} or {y}?",
    ),
    Frame(
        "bare",
        "This is a game for two. Options: {x}, {y}.",
        "Your last move: {own}. Their last move: {other}.",
        "Your next move, {x} or {y}?",
    ),
    Frame(
        "keys",
        "You and a partner press one of two keys, {x} and {y}, without seeing each other.",
        "The partner pressed {other} last time, and you pressed {own}.",
        "Which key do you press now, {x} or {y}?",
        held_out=True,
    ),
    Frame(
        "votes",
        "Together with a stranger you vote {x} or {y} in secret, round after round.",
        "Last vote: you {own}, the stranger {other}.",
        "How do you vote next, {x} or {y}?",
    ),
    Frame(
        "signs",
        "Let us play. On each turn both of us show {x} or {y}.",
        "Just now I showed {other} while you showed {own}.",
        "What do you show, {x} or {y}?",
    ),
    Frame(
        "cards",
        "Each week you and your neighbour hand in one card, {x} or {y}.",
        "Last week the neighbour's card was {other} and yours was {own}.",
        "Which card is yours this week, {x} or {y}?",
    ),
    Frame(
        "traders",
        "Two traders deal with each other many times; either side offers {x} or {y}.",
        "You offered {own} before, and the other trader offered {other}.",
        "Do you offer {x} or {y} this time?",
        held_out=True,
    ),
    Frame(
        "marks",
        "In an experiment two people are paid by what both of them mark, {x} or {y}.",
        "So far you marked {own} and the other person marked {other}.",
        "What do you mark, {x} or {y}?",
    ),
    Frame(
        "Kim",
        "Kim and you play a repeated game with the moves {x} and {y}.",
        "Kim's latest move was {other}, yours was {own}.",
        "What is your move, {x} or {y}?",
    ),
    Frame(
        "teams",
        "There are two teams. Every round each team plays {x} or {y}.",
        "In round one the other team played {other}, and we played {own}.",
        "In round two, do we play {x} or {y}?",
    ),
    Frame(
        "pilots",
        "You are one of two pilots who radio {x} or {y} to a tower.",
        "On the last flight you radioed {own} and the other pilot radioed {other}.",
        "Which do you radio now, {x} or {y}?",
        held_out=True,
    ),
    Frame(
        "doors",
        "Every evening you and your twin each open door {x} or door {y}.",
        "Yesterday your twin opened {other}; you opened {own}.",
        "Which door do you open tonight, {x} or {y}?",
    ),
    Frame(
        "log",
        "A repeated game for two. Moves: {x} or {y}.",
        "History: they {other}, you {own}.",
        "Your move, {x} or {y}?",
    ),
    Frame(
        "farmers",
        "Two farmers share a well. Each season each of them decides for {x} or {y}.",
        "Last season you decided for {own} and the other farmer for {other}.",
        "What do you decide now, {x} or {y}?",
    ),
    Frame(
        "boats",
        "You and another captain signal {x} or {y} whenever your boats meet.",
        "When you last met, the other captain signalled {other}. You signalled {own}.",
        "What do you signal now, {x} or {y}?",
        held_out=True,
    ),
    Frame(
        "Alex",
        "Alex and you pick {x} or {y} in every round.",
        "Last round: Alex {other}, you {own}.",
        "What do you pick, {x} or {y}?",
    ),
    Frame(
        "coins",
        "Each of two people lays down a coin marked {x} or {y}, many times.",
        "Before this, you laid down {own} and I laid down {other}.",
        "Which coin do you lay down, {x} or {y}?",
    ),
    Frame(
        "notes",
        "You and a colleague each send the office a note that says {x} or {y}.",
        "Your colleague's last note said {other}, and your own last note said {own}.",
        "What does your next note say, {x} or {y}?",
        held_out=True,
    ),
    Frame(
        "buyers",
        "Two buyers bid {x} or {y} at the same moment, one auction after another.",
        "In the auction before, your bid was {own}; the bid of the other buyer was {other}.",
        "What is your bid, {x} or {y}?",
    ),
    Frame(
        "guards",
        "Two guards raise flag {x} or flag {y} at noon.",
        "At noon yesterday the second guard raised {other}, while you raised {own}.",
        "Which flag do you raise today, {x} or {y}?",
    ),
    Frame(
        "table",
        "You sit at a table with one opponent. Both put {x} or {y} on it.",
        "You: {own}. Opponent: {other}.",
        "Which do you put down, {x} or {y}?",
    ),
    Frame(
        "letters",
        "Every month you and your cousin write each other one letter, {x} or {y}.",
        "Your last letter was {own}, your cousin's was {other}.",
        "Which letter do you write, {x} or {y}?",
        held_out=True,
    ),
    Frame(
        "screens",
        "On two screens, yours and a partner's, appears what each of you types: {x} or {y}.",
        "Their screen shows {other}, your screen shows {own}.",
        "Do you type {x} or {y} next?",
    ),
)

AMOUNTS = ("nothing", "a little", "some", "a lot", "the most")
"""Words for 0 to 4 points."""
RANKS = ("the least", "less", "a middling amount", "more", "the maximum")
"""Words for other payoffs, by their rank."""

Tell = Callable[[Game, Mapping[str, str], int], str]
"""Payoffs of a game in words: by labels of moves, and an order of the four cells, 0 to 3."""


def orders(order: int) -> list[tuple[str, str]]:
    """The four cells (own move, the other's) in four orders."""
    rows, columns = MOVES[:: -1 if order & 1 else 1], MOVES[:: -1 if order & 2 else 1]
    return [(own, other) for own in rows for other in columns]


def as_table(game: Game, labels: Mapping[str, str], order: int) -> str:
    """Payoffs as a table: own move in rows, the other's in columns."""
    cells = orders(order)
    columns, rows = [labels[other] for _, other in cells[:2]], [cells[:2], cells[2:]]
    lines = [f"Points, yours then theirs:\n| | {' | '.join(columns)} |"]
    for row in rows:
        shown = [f"{a:g}, {b:g}" for a, b in (game.cells[own + other] for own, other in row)]
        lines.append(f"| {labels[row[0][0]]} | {' | '.join(shown)} |")
    return "\n" + "\n".join(lines) + "\n"


def as_sentences(game: Game, labels: Mapping[str, str], order: int) -> str:
    """Payoffs as sentences, one per cell."""
    form = "{} against {} gives you {} and them {}."
    return _sentences(game, labels, order, form, "{:g}".format)


def in_words(game: Game, labels: Mapping[str, str], order: int) -> str:
    """Payoffs as sentences without numbers."""
    form = "{} against {}: {} for you, {} for them."
    return _sentences(game, labels, order, form, amounts(game).__getitem__)


def _sentences(
    game: Game, labels: Mapping[str, str], order: int, form: str, write: Callable[[float], str]
) -> str:
    told = []
    for own, other in orders(order):
        payoffs = map(write, game.cells[own + other])
        told.append(form.format(labels[own], labels[other], *payoffs))
    return " " + " ".join(told) + " "


def amounts(game: Game) -> dict[float, str]:
    """A word for each payoff: by size if all are 0 to 4, else by rank."""
    values = sorted({value for cell in game.cells.values() for value in cell})
    if all(value in range(len(AMOUNTS)) for value in values):
        return {value: AMOUNTS[int(value)] for value in values}
    last = max(len(values) - 1, 1)
    if len(values) > len(RANKS):  # a word would stand for two of them
        return {value: f"{RANKS[-1]} but {last - i}" for i, value in enumerate(values)}
    return {value: RANKS[round(i * (len(RANKS) - 1) / last)] for i, value in enumerate(values)}


STYLES: Mapping[str, Tell] = {"table": as_table, "sentences": as_sentences, "words": in_words}


@dataclass(frozen=True)
class Wording:
    """A situation and a style of payoffs."""

    frame: Frame
    style: str

    @property
    def name(self) -> str:
        """Name for the column ``template``."""
        return f"{self.frame.name}, {self.style}"

    def text(
        self,
        game: Game,
        labels: Mapping[str, str],
        moves: tuple[str, str],
        *,
        turned: bool = False,
        order: int = 0,
        tempted: bool = False,
    ) -> str:
        """The whole text, without an answer.

        Parameters
        ----------
        game, labels
            Labels by move.
        moves
            Last moves, own first.
        turned
            The label of D is named first.
        order
            Of the payoffs, 0 to 3.
        tempted
            Reminded of what D against C pays.
        """
        x, y = (labels[move] for move in MOVES[:: -1 if turned else 1])
        filled = {"x": x, "y": y, "own": labels[moves[0]], "other": labels[moves[1]]}
        payoffs = STYLES[self.style](game, labels, order)
        parts = [self.frame.question.format(**filled), self.frame.history.format(**filled)]
        if tempted:
            parts.insert(1, self._temptation(game, labels))
        return self.frame.opening.format(**filled) + payoffs + " ".join(parts)

    def _temptation(self, game: Game, labels: Mapping[str, str]) -> str:
        value = game.own("D", "C")
        paid = amounts(game)[value] if self.style == "words" else f"{value:g}"
        return f"Mind that {labels['D']} against {labels['C']} gets you {paid}."


def wordings() -> list[Wording]:
    """All wordings, ordered to cover first every situation, then every style."""
    styles = list(STYLES)
    return [
        Wording(frame, styles[(i + turn) % len(styles)])
        for turn in range(len(styles))
        for i, frame in enumerate(FRAMES)
    ]
