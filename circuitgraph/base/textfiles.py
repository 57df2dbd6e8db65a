"""Read users' files safely; errors name the line.

Prompt files and activation tables come from anywhere. Nothing here ever unpickles or
unpacks; a file that is something else is named as that, a broken one is named with its
line, and every message stays on one line whatever the file contains.
"""

from __future__ import annotations

import csv
import difflib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from circuitgraph.base.errors import InputError, first_line, quoted

DEFAULT_FOLDER = ".circuitgraph"
"""The workspace, where no other is named."""
MAX_JSON_BYTES = 64 << 20
"""JSON grows about twenty-fold when parsed, so larger files are refused."""

FLOATS = ("F64", "F32", "F16", "BF16")
"""What weights may be stored as in safetensors files."""

UTF16 = "text in UTF-16"
_MAGIC = (
    (b"PK\x03\x04", "a zip archive (npz, pt or xlsx)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PAR1", "a parquet file"),
    (b"\xff\xfe", UTF16),
    (b"\xfe\xff", UTF16),
    *((bytes((0x80, protocol)), "a pickle") for protocol in range(2, 6)),
)
_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|(NaN|-?Infinity)', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The nearest of the known words, or None."""
    lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), lower, 1, 0.8)
    return lower[found[0]] if found else None


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with ``~`` expanded."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # nobody of that name here: then it is a file's name
        return Path(path)


def fail(path: Path, place: int | str | None, what: str) -> NoReturn:
    """Raise an InputError that names the file and, where known, the line or the row."""
    where = f", line {place}" if isinstance(place, int) else f", {place}" if place else ""
    raise InputError(f"{path}{where}: {what}")


def undecodable(text: str) -> bool:
    """Whether the text holds a lone surrogate, which no encoding can write."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def file_kind(path: Path, kinds: tuple[str, ...], reads: str) -> str:
    """The file's extension, one of ``kinds``, checked against its first bytes.

    Parameters
    ----------
    path
        The file.
    kinds
        Accepted extensions, lower case, with the dot.
    reads
        What is read instead, for the message: ``"reads .jsonl and .csv"``.

    Raises
    ------
    InputError
        No such file, not a regular file, empty, of another extension, or a pickle,
        archive or array under a borrowed name.
    """
    kind = path.suffix.lower()
    try:
        if not path.is_file():
            fail(path, None, "not a file" if path.exists() else "there is no such file")
        with open(path, "rb") as file:
            head = file.read(8)
    except (OSError, ValueError) as error:
        fail(path, None, f"cannot be opened ({error})")
    what = next((name for magic, name in _MAGIC if head.startswith(magic)), None)
    if what == UTF16 and kind in kinds:
        fail(path, None, f"this is {what}; save the file as UTF-8")
    if what and not (kind == ".parquet" and what == "a parquet file"):
        fail(path, None, f"this is {what}; circuitgraph {reads}")
    if kind not in kinds:
        fail(path, None, f"the extension {quoted(path.suffix)} is not known; circuitgraph {reads}")
    if not head:
        fail(path, None, "the file is empty")
    return kind


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line of a UTF-8 file with its number; a byte order mark is dropped.

    Only ``\\n`` ends a line: JSON strings may hold U+2028 and others as they are.

    Raises
    ------
    InputError
        A line that is not UTF-8.
    """
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                byte = raw[error.start]
                fail(path, number, f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8")


def read_text(path: Path) -> str:
    """The whole of a UTF-8 file; undecodable bytes are an InputError with their line."""
    return "".join(text for _, text in numbered_lines(path))


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Every record of a CSV file with the line it begins on; blank lines are skipped.

    Cells are text exactly as written: ``NA``, ``null`` and ``1e5`` mean nothing here.

    Raises
    ------
    InputError
        Text that is not UTF-8, a quote that never ends or ends too early.
    """
    csv.field_size_limit(sys.maxsize)  # names may be 65,000 characters, texts longer
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        line = 1
        try:
            for row in reader:
                if row:
                    yield line, row
                line = reader.line_num + 1
        except UnicodeDecodeError as error:
            _ = list(numbered_lines(path))  # names the line
            fail(path, None, f"not UTF-8 ({error}); save the file as UTF-8")
        except csv.Error as error:
            fail(path, line, f"not valid CSV ({error}); check the quotes of this record")


def csv_header(path: Path, rows: Iterator[tuple[int, list[str]]]) -> list[str]:
    """The first record: the names of the columns."""
    line, header = next(rows, (0, []))
    if not header:
        fail(path, None, "the file holds no header line; the first line names the columns")
    if len(header) == 1 and re.search(r"[;\t]", header[0]):
        mark = ";" if ";" in header[0] else "\\t"
        fail(
            path, line, "columns must be separated by commas, not semicolons or tabs: "
            f"pandas.read_csv({path.name!r}, sep='{mark}').to_csv('commas.csv', index=False)",
        )  # fmt: skip
    return header


def parse_json(path: Path, text: str, line: int = 1) -> Any:
    """The value of a JSON text that begins on a line of a file.

    Raises
    ------
    InputError
        Invalid JSON, NaN or Infinity (no JSON, though Python writes them), a key that
        stands twice in one object, a number or a nesting beyond reason.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except _Constant:
        found = next(match for match in _CONSTANT.finditer(text) if match[1])
        line += text.count("\n", 0, found.start())
        fail(path, line, f"{found[1]} is not a number; leave such rows out")
    except json.JSONDecodeError as error:
        fail(path, line + error.lineno - 1, f"not valid JSON ({error.msg}, column {error.colno})")
    except RecursionError:
        fail(path, line, "not valid JSON here (nested too deeply)")
    except ValueError as error:
        fail(path, line, f"not valid JSON here ({error})")
    return value


class _Constant(Exception):
    """NaN or Infinity in JSON."""


def _constant(name: str) -> NoReturn:
    raise _Constant(name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {quoted(twice)} stands twice in one object")
    return record


def stored_kinds(file: Path) -> dict[str, str]:
    """Data type (``F32``, ``BF16``, ``U8``) of each tensor of a safetensors file.

    Raises
    ------
    InputError
        No whole file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as handle:
            return {name: handle.get_slice(name).get_dtype() for name in handle.keys()}  # noqa: SIM118, no mapping
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: not a whole safetensors file ({first_line(error)})") from error


def check_safetensors(file: Path, packed: bool = False) -> None:
    """Require a complete safetensors file of floating-point weights.

    The library would take integers as they come: truncated or quantised values without
    their scales. With ``packed`` they come with them.
    """
    for name, kind in stored_kinds(file).items():
        if name.endswith("weight") and kind not in FLOATS and not packed:
            raise InputError(
                f"{file}: {name} is stored as {kind}, not as floating-point numbers; save the "
                "model unquantised, in float32, float16 or bfloat16"
            )
