"""Pairs that stand both ways: prompt and corrupt exchanged are the same observation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from circuitgraph.base.components import digest
from circuitgraph.base.errors import InputError
from circuitgraph.prompts.record import Prompt, PromptSet


def pair_of(prompt: Any, corrupt: Any, answer: Any, wrong_answer: Any) -> tuple[str, int]:
    """A name for two texts and two answers, and which way round they stand.

    Args:
        prompt, corrupt, answer, wrong_answer: texts or token ids; of answers, both or neither
            may be sets.

    Returns:
        The name, blind to either order; and +1 or −1: corruption moves the decisions of two
        rows of one name alike where these agree, and oppositely where they do not.
    """
    texts, answers = (prompt, corrupt), (answer, wrong_answer)
    way = 1 if (texts == tuple(sorted(texts))) == (answers == tuple(sorted(answers))) else -1
    return digest("pair", sorted(texts), sorted(answers)), way


def check_exchanged(first: Prompt, again: Prompt, *, same_way: bool, file: str) -> None:
    """Refuse two rows of one observation that contradict each other.

    Raises:
        InputError: directions that cannot both be.
    """
    expected = None if first.direction is None else first.direction * (1 if same_way else -1)
    if again.direction != expected:
        needed = "the same direction" if same_way else "opposite directions"
        raise InputError(
            f"{file}, line {again.line}: the pair of line {first.line}, exchanged, but its "
            f"direction contradicts that line's; give both {needed} or none, or remove one"
        )


def observed(prompts: PromptSet) -> PromptSet:
    """The first of every observation, by their texts, in canonical order.

    Raises:
        InputError: directions that contradict each other.
    """
    if not prompts.has_pairs:
        return prompts
    first: dict[str, tuple[Prompt, int]] = {}
    for prompt in prompts.canonical():
        key, way = pair_of(prompt.prompt, prompt.corrupt, *prompt.sides)
        before, its_way = first.setdefault(key, (prompt, way))
        check_exchanged(before, prompt, same_way=way == its_way, file=prompts.source)
    return replace(prompts, prompts=tuple(prompt for prompt, _ in first.values()))


def exchanged_in_words(count: int, lost: Iterable[str]) -> list[str]:
    """What is said of pairs that stand both ways; nothing where there are none.

    Args:
        count: of the pairs.
        lost: scenarios all of whose pairs stand in another one too.
    """
    if not count:
        return []
    pairs = "1 pair stands" if count == 1 else f"{count} pairs stand"
    gone = ", ".join(map(repr, sorted(lost)))
    more = f"; scenario {gone[:120]} has no pair of its own" if gone else ""
    return [
        f"{pairs} in the file twice, prompt and corrupt exchanged: the same observation, its "
        f"rows are averaged and counted once, in the first one's scenario{more}"
    ]
