"""Exchanged pairs: a pair with prompt and corrupt exchanged is the same observation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from circuitgraph.base.components import EdgeKind, digest
from circuitgraph.base.errors import InputError
from circuitgraph.prompts.record import Prompt, PromptSet


def pair_of(prompt: Any, corrupt: Any, answer: Any, wrong_answer: Any) -> tuple[str, int]:
    """A name for two texts and two answers (or sets) in either order, and +1 or −1.

    Corruption changes the decision of two rows of one name equally where their signs agree, and
    oppositely where they do not. Texts or token ids.
    """
    texts, answers = (prompt, corrupt), (answer, wrong_answer)
    way = 1 if (texts == tuple(sorted(texts))) == (answers == tuple(sorted(answers))) else -1
    return digest("pair", sorted(texts), sorted(answers)), way


def check_exchanged(first: Prompt, again: Prompt, *, same_way: bool, file: str) -> None:
    """Refuse (InputError) two rows of one observation with contradicting directions."""
    expected = None if first.direction is None else first.direction * (1 if same_way else -1)
    if again.direction != expected:
        needed = "the same direction" if same_way else "opposite directions"
        raise InputError(
            f"{file}, line {again.line}: the pair of line {first.line}, exchanged, but its "
            f"direction contradicts that line's; give both {needed} or none, or remove one"
        )


def observed(prompts: PromptSet) -> PromptSet:
    """The first of every observation, by their texts, in canonical order.

    Raises
    ------
    InputError
        Directions that contradict each other.
    """
    if not prompts.has_pairs:
        return prompts
    first: dict[str, tuple[Prompt, int]] = {}
    for prompt in prompts.canonical():
        key, way = pair_of(prompt.prompt, prompt.corrupt, *prompt.sides)
        before, its_way = first.setdefault(key, (prompt, way))
        check_exchanged(before, prompt, same_way=way == its_way, file=prompts.source)
    return replace(prompts, prompts=tuple(prompt for prompt, _ in first.values()))


def counted(prompts: PromptSet, kind: EdgeKind) -> tuple[PromptSet, int]:
    """Prompts that count for one kind of edges, as in a diff, and how many repeat earlier ones.

    Of effects an exchanged pair is one observation; activities of both its texts count.

    Raises
    ------
    InputError
        Equal prompts that contradict each other.
    """
    kept, duplicates = prompts.distinct(kind)
    return observed(kept) if kind == "effect" else kept, duplicates


def exchanged_in_words(count: int, lost: Iterable[str]) -> list[str]:
    """Remark on exchanged pairs; ``lost`` are scenarios without a pair of their own."""
    if not count:
        return []
    pairs = "1 pair stands" if count == 1 else f"{count} pairs stand"
    gone = ", ".join(map(repr, sorted(lost)))
    more = f"; scenario {gone[:120]} has no pair of its own" if gone else ""
    return [
        f"{pairs} in the file twice, prompt and corrupt exchanged: the same observation, its "
        f"rows are averaged and counted once, in the first one's scenario{more}"
    ]
