"""Warnings of libraries during loading, collected in one line each."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging

LONGEST = 300

_MATTERS = re.compile(
    r"ignor|unrecogni[sz]ed|unexpected (key|arg)|unknown|not (be )?(used|supported)|missing"
    r"|of type|instantiate",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    # A report of weights, which we check by name; how peft itself is called; training.
    r"LOAD REPORT|Unexpected keyword arguments|save_embedding_layers|tie_word_embeddings"
    r"|adapter keys|torch_dtype|Could not find a config file|fan_in_fan_out|generation flags",
    re.IGNORECASE,
)


class _Collector(logging.Handler):
    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        _note(self._found, record.getMessage())


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect what warnings and transformers' log report of settings, instead of printing it.

    The list holds each sentence once when the block ends.
    """
    found: list[str] = []
    logger, level = transformers_logging.get_logger("transformers"), logging.WARNING
    before, handlers = transformers_logging.get_verbosity(), logger.handlers[:]
    transformers_logging.set_verbosity(level)
    logger.handlers = [_Collector(found)]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield found
    finally:
        logger.handlers = handlers
        transformers_logging.set_verbosity(before)
    for warning in caught:
        _note(found, str(warning.message))


def _note(found: list[str], text: str) -> None:
    line = shortened(text)
    if _MATTERS.search(text) and not _KNOWN.search(text) and line not in found:
        found.append(line)


def shortened(text: str, longest: int = LONGEST) -> str:
    """Shorten to one line of whole words, with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[:longest].rsplit(" ", 1)[0] + " …"
