"""Verdicts on updates as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from circuitgraph.base.errors import short
from circuitgraph.updates.record import NEARLY, UNTRAINED, Check, Moves, Word, word_of

CLAIM = 0.05
"""Level at which a move beyond random updates is called one."""


def first_line(check: Check) -> str:
    """The verdict, a number and why, in one line."""
    return f"{check.verdict.word}: {check.verdict.sentence}"


def lines(check: Check) -> list[str]:
    """All sentences about a check, the verdict first."""
    told = [first_line(check)]
    if check.verdict.word != "wrong base":
        told += [*_where(check), *_formats(check)]
        told += [in_words(check.moves)] if check.moves is not None else []
    return [*told, *check.remarks]


def update_line(change: float, kept: float) -> str:
    """Sentence about a merged adapter during ingest."""
    if change == 0.0 and not kept < 1.0:
        return "identical: the adapter's update is 0: no weight changed"
    word: Word = word_of(kept, change)
    why = " (as good as untrained)" if change < UNTRAINED else ""
    return f"{word}: ‖ΔW‖/‖W‖ {number(change)}{why}, {percent(kept)} of it left in float32"


def size_in_words(changed: int, tensors: int, change: float) -> str:
    """Number of changed tensors and size of the change."""
    return f"{changed} of {tensors} tensors changed, ‖ΔW‖/‖W‖ {number(change)}"


def number(value: float) -> str:
    """A number with three digits."""
    return f"{value:.3g}"


def percent(share: float) -> str:
    """A percentage with at least one digit."""
    if share != share:
        return "?"
    if 0.995 <= share < 1.0005:
        return "100%" if share >= 0.9995 else f"{100 * share:.1f}%"
    return f"{100 * share:.1f}%" if abs(share) < 0.0995 else f"{share:.0%}"


def _where(check: Check) -> Iterator[str]:
    if not check.touched:
        return
    layers = sorted({one.layer for one in check.touched if one.layer is not None})
    most = max(check.touched, key=lambda one: one.change if one.weight else 0.0)
    where = f"layers {ranges(layers)}" if layers else "no layer"
    yield (
        f"where: {where}; most in {short(most.tensor, 60)} "
        f"({number(most.change)}, effective rank {most.rank:.1f})"
    )


def ranges(numbers: Sequence[int]) -> str:
    """``0, 2–5`` of 0, 2, 3, 4, 5."""
    parts: list[list[int]] = []
    for one in numbers:
        if parts and one == parts[-1][-1] + 1:
            parts[-1].append(one)
        else:
            parts.append([one])
    return ", ".join(f"{p[0]}–{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)


def _formats(check: Check) -> Iterator[str]:
    if check.kind == "adapter" and check.left:
        told = ", ".join(f"{name} {percent(share)}" for name, share in check.left.items())
        lost = [name for name, share in check.left.items() if not share >= NEARLY]
        keep = f": do not merge it in {' or '.join(lost)}" if lost else ""
        yield f"left of it once merged in {told}{keep}"


def in_words(moves: Moves) -> str:
    """Change of decisions and its rank among random updates."""
    draws = len(moves.nulls)
    what = "decisions move by {} nats" if moves.measure == "decision" else "KL of the next token {}"
    told = f"{what.format(number(moves.move))} on average of {moves.prompts} prompts"
    if not draws:
        return told
    rank = 1 + sum(null >= moves.move for null in moves.nulls)
    beside = f"random updates of the same singular values: {_spread(moves.nulls)}"
    found = "moved: " if moves.moved else "not moved: "
    line = f"{found}{told}; {draws} {beside}; rank {rank} of {draws + 1}, p = {moves.p:.3g}"
    if 1 / (draws + 1) > CLAIM:
        need = round(1 / CLAIM) - 1
        line += f" (too few to claim anything at {CLAIM:.0%}: ``draws={need}`` could)"
    return line


def _spread(values: Sequence[float]) -> str:
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def grids_in_words(grids: Mapping[str, Mapping[str, int]]) -> str:
    """Storage grids of both models' matrices."""
    sides = [
        ", ".join(f"{count} {name}" for name, count in sorted(found.items(), key=lambda i: -i[1]))
        for found in (grids["base"], grids["model"])
    ]
    same = sides[0] == sides[1]
    return (
        f"matrices of both lie on: {sides[0]}"
        if same
        else (f"matrices of the base lie on: {sides[0]}; of the model on: {sides[1]}")
    )
