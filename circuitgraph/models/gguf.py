"""GGUF files, dequantised once to a float32 folder.

The transformers library reads the file; what it drops silently (scaled rotary tables, tensors
of unknown names, how digits are split) is checked here.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from tokenizers import Regex, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from circuitgraph.base.errors import InputError, first_line, quoted
from circuitgraph.base.progress import Reporter
from circuitgraph.base.textfiles import expanded

RECORD = "circuitgraph.json"
"""File of a dequantised folder that says what it was made from."""
VERSION = "1"
"""Of the conversion: folders that another one made are not read."""

AS_GPT2 = {"gpt-2", "gpt2", "mpt", "olmo", "jais", "phi-2"}
"""Texts are split into words as GPT-2 splits them."""
DIGITS = {"smollm", "starcoder", "refact", "command-r", "codeshell"}
"""The same, every digit by itself first."""


@dataclass(frozen=True)
class Origin:
    """The quantised file of a float32 folder: its name, hash, llama.cpp format and our version."""

    file: str
    sha256: str
    quantisation: str
    version: str = VERSION


def gguf_file(model: str | Path) -> Path | None:
    """The GGUF file of a path: itself, or the one in a folder without other weights.

    Raises
    ------
    InputError
        A folder with several, or a file of several shards.
    """
    path = expanded(model)
    try:
        if path.is_file():
            found = [path] if path.suffix.lower() == ".gguf" else []
        elif path.is_dir() and not (path / "config.json").is_file():
            found = sorted(path.glob("*.gguf"))
        else:
            return None
    except OSError:  # a name longer than any file's
        return None
    if len(found) > 1:
        names = ", ".join(file.name for file in found[:4])
        raise InputError(f"{path}: holds {len(found)} GGUF files ({names}); give one of them")
    if found and "-of-0" in found[0].name:
        raise InputError(
            f"{found[0]}: one shard of several; merge them with llama.cpp's llama-gguf-split first"
        )
    return found[0] if found else None


def dequantised(file: Path, reporter: Reporter) -> Path:
    """The float32 folder of a GGUF file, made at first use in the user's cache.

    Its name is the hash of the file; raises as :func:`convert_gguf`.
    """
    known = hash_file(file)
    root = cache_folder() / "gguf"
    folder = root / f"{known}-{VERSION}"
    if folder.is_dir():
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{known}.lock"):
            if not folder.is_dir():
                convert_gguf(file, folder, reporter)
    except OSError as error:
        raise InputError(
            f"{root}: cannot keep the dequantised model ({first_line(error)}); make room, or name "
            "another place by the environment variable CIRCUITGRAPH_CACHE"
        ) from error
    return folder


def cache_folder() -> Path:
    """Folder of things that can be made again."""
    given = os.environ.get("CIRCUITGRAPH_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "circuitgraph"


def convert_gguf(file: str | Path, folder: str | Path, reporter: Reporter | None = None) -> Origin:
    """Write a GGUF file's model, tokenizer and chat template as a float32 folder, atomically.

    Raises
    ------
    InputError
        No GGUF file; a model that the transformers library cannot rebuild exactly; a folder
        that exists.
    """
    file, folder = expanded(file), expanded(folder)
    if folder.exists():
        raise InputError(f"{folder}: exists; name a folder that does not")
    metadata, numbers = _header(file)
    _require_plain_rotary(file, metadata)
    origin = Origin(file.name, hash_file(file), _format(metadata))
    (reporter or Reporter()).remark(
        f"{file.name}: {origin.quantisation}, dequantised to float32 once, into {folder} (a minute "
        "for 0.3 billion weights)"
    )
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.mkdir()
        _save(file, partial, metadata, numbers)
        (partial / RECORD).write_text(json.dumps(asdict(origin), indent=1) + "\n", "ascii")
        os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return origin


def origin_of(folder: Path) -> Origin | None:
    """The origin of a folder that :func:`convert_gguf` made, else None."""
    try:
        return Origin(**json.loads((folder / RECORD).read_text("ascii")))
    except (OSError, ValueError, TypeError):
        return None


def _save(file: Path, folder: Path, metadata: Mapping[str, Any], numbers: int) -> None:
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    place = {"gguf_file": file.name, "local_files_only": True}
    try:
        with _bars_on_terminals_only():
            hf = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **place)
            tokenizer = AutoTokenizer.from_pretrained(file.parent, **place)
    except Exception as error:  # user input: transformers raises many exception types on a bad file
        raise InputError(
            f"{file}: cannot be dequantised ({first_line(error)}); give the model's original "
            "folder, or one that transformers made of this file"
        ) from error
    taken = sum(tensor.numel() for tensor in {t.data_ptr(): t for t in hf.parameters()}.values())
    if taken != numbers:
        raise InputError(
            f"{file}: holds {numbers:,} numbers, of which the transformers library makes a model "
            f"of {taken:,}: part of it would be lost; give the model's original folder"
        )
    _split_as_trained(file, tokenizer, metadata)
    if hasattr(hf.config, "quantization_config"):
        del hf.config.quantization_config  # it is no longer quantised, and saving would refuse
    hf.hf_quantizer = None
    hf.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    if sys.stderr.isatty():
        yield
        return
    with redirect_stderr(io.StringIO()):
        yield


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """A file's metadata (arrays left out), and the number of values in its tensors."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
        metadata = {
            name: field.contents()
            for name, field in reader.fields.items()
            if len(field.data) == 1 and len(field.types) == 1
        }
        return metadata, sum(int(tensor.n_elements) for tensor in reader.tensors)
    except Exception as error:  # truncated, or no such file
        raise InputError(f"{file}: not a whole GGUF file ({first_line(error)})") from error


def _format(metadata: Mapping[str, Any]) -> str:
    from gguf import LlamaFileType

    try:
        return LlamaFileType(metadata["general.file_type"]).name.removeprefix("MOSTLY_")
    except (KeyError, ValueError):
        return "unnamed"


def _require_plain_rotary(file: Path, metadata: Mapping[str, Any]) -> None:
    family = str(metadata.get("general.architecture", ""))
    scaling = metadata.get(f"{family}.rope.scaling.type", "none")
    if scaling != "none" and family != "gpt-oss":
        raise InputError(
            f"{file}: its rotary positions are scaled ({quoted(str(scaling), 40)}), which the "
            "transformers library does not read from GGUF; give the model's original folder"
        )


def _split_as_trained(file: Path, tokenizer: Any, metadata: Mapping[str, Any]) -> None:
    """Set how a byte-level tokenizer splits text into words; its merges were trained on those.

    Raises
    ------
    InputError
        An unknown way of splitting.
    """
    if metadata.get("tokenizer.ggml.model") != "gpt2":
        return
    way = str(metadata.get("tokenizer.ggml.pre", ""))
    if way in DIGITS:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(r"\p{N}"), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    elif way not in AS_GPT2 and way not in _ways_of_library():
        raise InputError(
            f"{file}: its tokenizer splits text in the way {quoted(way, 40)}, which is not known "
            "here, so prompts would become other tokens; give the model's original folder"
        )


def _ways_of_library() -> set[str]:
    try:
        from transformers.integrations.gguf import gguf_tokenizer_mapping as known
    except ImportError:  # other versions keep no such table
        return set()
    return set(getattr(known, "GGUF_PRE_TOKENIZER_SPLITS", ()))


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes, computed once while it is unchanged."""
    stat = path.stat()
    return _hash_file(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _hash_file(path: Path, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
