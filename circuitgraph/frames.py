"""Tables as people and programs want them: text, CSV, JSON, parquet."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from circuitgraph.errors import InputError, UsageError
from circuitgraph.runs import write_atomic

Format = Literal["table", "csv", "json", "parquet"]
FORMATS = ("table", "csv", "json", "parquet")
SHOWN = 40


def write_frame(frame: pd.DataFrame, format: Format, path: Path) -> None:
    """Write a table to a file that appears only when whole.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        if format == "parquet":
            write_parquet(frame, path)
        else:
            write_atomic(path, to_text(frame, format, whole=True).encode("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write parquet in one step; zstd keeps repeated names small."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    # Looking for repeated values among millions of different floats costs more than it saves.
    repeated = [str(n) for n in frame.columns if not pd.api.types.is_float_dtype(frame[n])]
    frame.to_parquet(
        partial, index=False, compression="zstd", compression_level=1, use_dictionary=repeated
    )
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def to_text(frame: pd.DataFrame, format: Format, whole: bool = False) -> str:
    """A table as text; ``table`` shows the first rows unless ``whole``.

    Raises:
        UsageError: parquet is not text.
    """
    if format == "csv":
        return frame.to_csv(index=False)
    if format == "json":
        return json.dumps(records(frame), ensure_ascii=False, indent=1) + "\n"
    if format == "table":
        return _aligned(frame if whole else frame.head(SHOWN), len(frame))
    raise UsageError("parquet is binary: name a file with -o FILE")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain objects; what is missing or not finite is null."""
    columns = {str(name): [_plain(v) for v in frame[name]] for name in frame.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return None if value is pd.NA or value is pd.NaT else value


def _aligned(frame: pd.DataFrame, total: int) -> str:
    shown = frame.copy()
    for name in shown.columns:
        if pd.api.types.is_float_dtype(shown[name]):
            shown[name] = [_number(v) for v in shown[name]]
        else:
            shown[name] = [_short(v) for v in shown[name]]
    text = shown.to_string(index=False) if len(shown) else "  ".join(map(str, frame.columns))
    if total > len(frame):
        text += f"\n… {total - len(frame)} more rows (-o FILE or --format csv writes all)"
    return text + "\n"


def _number(value: float) -> str:
    return "" if value != value else f"{value:.4g}"


def _short(value: Any) -> str:
    if value is None or value is pd.NA:
        return ""
    text = " ".join(str(value).split())
    return text if len(text) <= 48 else f"{text[:47]}…"
