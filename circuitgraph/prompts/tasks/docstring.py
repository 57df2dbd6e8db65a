"""Docstrings (Heimersheim and Janiak 2023): which argument is documented next?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from circuitgraph.prompts.record import Prompt
from circuitgraph.prompts.tasks.make import Draw, Task, Words, pair

FUNCTIONS = (
    *("load", "save", "send", "build", "check", "close", "count", "create", "delete", "draw"),
    *("fetch", "filter", "find", "merge", "move", "open", "parse", "plot", "print", "read"),
    *("render", "run", "sort", "split", "start", "store", "update", "write"),
)
ARGUMENTS = (
    *("size", "name", "path", "file", "mode", "user", "key", "value", "index", "limit", "width"),
    *("height", "color", "date", "port", "host", "label", "group", "source", "target", "table"),
    *("page", "title", "level", "depth", "weight", "order", "image", "text", "code", "state"),
    *("time", "model", "node", "base", "event", "field", "format", "length", "line", "list"),
)
MEANINGS = (
    *("what it is about", "as given by the caller", "one of those allowed", "never empty"),
    *("taken as it is", "checked before use", "from the settings", "kept for later"),
)
WORDINGS = {
    "self": 'def {name}(self, {args}):\n    """{name} it as asked\n\n{described}    :param',
    "plain": 'def {name}({args}):\n    """{name} and return\n\n{described}    :param',
}
TOLD = 2
"""Arguments documented before the one asked for."""


def _draws(words: Words) -> Mapping[str, Draw]:
    known = words.single(ARGUMENTS)
    if len(known) < 6:
        return {}
    return {name: _scene(name, known) for name in FUNCTIONS}


def _scene(name: str, words: Sequence[str]) -> Draw:
    def draw(random: Random) -> Prompt:
        wording = random.choice(sorted(WORDINGS))
        *arguments, other = random.sample(words, TOLD + 3)
        meanings = random.sample(MEANINGS, TOLD)
        described = "".join(
            f"    :param {argument}: {meaning}\n"
            for argument, meaning in zip(arguments, meanings, strict=False)
        )
        changed = [*arguments[:TOLD], other, *arguments[TOLD + 1 :]]
        texts = (
            WORDINGS[wording].format(name=name, args=", ".join(each), described=described)
            for each in (arguments, changed)
        )
        prompt, corrupt = texts
        return pair(prompt, corrupt, [f" {arguments[TOLD]}"], [f" {other}"], wording)

    return draw


DOCSTRING = Task(
    "docstring",
    "The argument that a docstring documents next against the one that stands in its place in the "
    "corrupt twin (after Heimersheim and Janiak 2023).",
    _draws,
)
