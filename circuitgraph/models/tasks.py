"""Prompts of circuit tasks and games for the tokenizer of a model folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.base.textfiles import expanded
from circuitgraph.games.payoffs import Game, games_named
from circuitgraph.games.prompts import DEFAULT_WORDINGS, INSTRUCTION, game_prompts
from circuitgraph.models.variants import model_folder
from circuitgraph.prompts.record import PromptSet
from circuitgraph.prompts.tasks import TASKS
from circuitgraph.prompts.tasks.make import drawn
from circuitgraph.prompts.template import Moment, instructed
from circuitgraph.prompts.tokenizer import load_tokenizer


def make_prompts(
    task: str, model: str | os.PathLike[str], *, n: int = 200, seed: int = 0
) -> PromptSet:
    """Prompts of a task, with corrupt twins and answers that fit a model's tokenizer.

    Parameters
    ----------
    task : str
        ``ioi``, ``greater-than``, ``agreement``, ``pronoun``, ``sums``, ``docstring`` or
        ``entity``.
    model : str or path
        A model folder or hub name; of a folder only the tokenizer is read.

    Raises
    ------
    UsageError, InputError
        No such task or model, or a tokenizer that does not know enough of the task's words.
    """
    if task not in TASKS:
        raise UsageError(f"the task {task!r} is unknown; choose from {', '.join(TASKS)}")
    return drawn(TASKS[task], _tokenizer(model), n, seed)


def make_game_prompts(
    games: str | Sequence[str],
    model: str | os.PathLike[str],
    *,
    wordings: int = DEFAULT_WORDINGS,
    labels: Sequence[str] = ("A", "B"),
    chat: bool = False,
) -> PromptSet:
    """Prompts of repeated 2 × 2 games for a model's tokenizer, a state a scenario.

    Parameters
    ----------
    games : str or sequence of str
        ``ipd``, ``ish``, ``icn``, ``bos``, ``icd``, ``ivd``, ``all``, or TOML files.
    model : str or path
        A model folder, GGUF file or hub name; of a folder only the tokenizer is read.
    wordings : int
        Their number; a quarter of them are held out from training.
    labels : (str, str)
        Names of cooperation and defection.
    chat : bool
        Write each prompt in the model's chat template, ready for the reply.

    Raises
    ------
    UsageError, InputError
        No such game or model, labels of unequal length, or no chat template.
    """
    known: tuple[Game, ...] = games_named(games)
    tokenizer = _tokenizer(model)
    if chat and not getattr(tokenizer, "chat_template", None):
        raise InputError("``chat``: this tokenizer has no chat template; leave the option out")
    turn = partial(_turn, tokenizer, Moment.today()) if chat else None
    return game_prompts(known, tokenizer, count=wordings, labels=labels, chat=turn)


def _turn(tokenizer: Any, moment: Moment, text: str) -> str:
    return instructed(tokenizer, INSTRUCTION, text, moment)


def _tokenizer(model: str | os.PathLike[str]) -> Any:
    folder = expanded(model)
    return load_tokenizer(folder if folder.is_dir() else model_folder(folder))
