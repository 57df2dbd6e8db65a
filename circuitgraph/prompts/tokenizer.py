"""A folder's tokenizer: token ids of its tokenizer.json, special tokens of AutoTokenizer."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from circuitgraph.base.errors import InputError, first_line

NAMED = ("bos_token", "eos_token")
"""Special tokens that stand in what a model reads: in front of it, or in a chat template."""

VOCABULARIES = (
    *("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "vocab.txt"),
    *("*.model", "*.spm", "*.tiktoken"),
)
"""Files that hold the words of a tokenizer."""


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder; ``InputError`` for none, or a damaged one.

    ``AutoTokenizer`` empties some local tokenizers (word-level ones in a Qwen2 folder), so
    token ids are those of ``tokenizer.json`` wherever there is one. Which tokens begin and end a
    text may be in no file but belong to the model type (GPT-2's end of text); that comes from
    ``AutoTokenizer``.
    """
    try:
        if not (folder / "tokenizer.json").is_file():
            return _with_words(folder, _auto(folder))
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except InputError:
        raise
    except Exception as error:  # the tokenizers library raises bare Exception
        if not any(match for kind in VOCABULARIES for match in folder.glob(kind)):
            raise _none(folder) from error
        raise InputError(f"{folder}: its tokenizer cannot be read ({first_line(error)})") from error
    _name_specials(folder, _with_words(folder, tokenizer))
    return tokenizer


def _auto(folder: Path) -> Any:
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it thinks of other people's folders
            return AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    finally:
        transformers_logging.set_verbosity(before)


def _with_words(folder: Path, tokenizer: Any) -> Any:
    """Refuse the empty tokenizer that the library makes where a folder holds none."""
    if len(tokenizer.get_vocab()) <= len(tokenizer.added_tokens_decoder):
        raise _none(folder)
    return tokenizer


def _none(folder: Path) -> InputError:
    return InputError(
        f"{folder}: the folder has no tokenizer; save the one the model was trained with there "
        "(tokenizer.save_pretrained, or copy tokenizer.json and tokenizer_config.json of its base)"
    )


def _name_specials(folder: Path, tokenizer: Any) -> None:
    """Name the special tokens that only the model type's own class knows."""
    if all(getattr(tokenizer, name) is not None for name in NAMED):
        return
    try:
        named = _auto(folder)
    except Exception:  # without a class to ask, the files alone say what they are
        return
    words = tokenizer.get_vocab()
    for name in NAMED:
        token = getattr(named, name, None)
        if getattr(tokenizer, name) is None and token is not None and str(token) in words:
            setattr(tokenizer, name, str(token))
