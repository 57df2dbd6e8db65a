"""Diffs kept beside the runs they compare, and read again instead of measured again.

``<id>.parquet`` is the table, ``<id>.safetensors`` the details of its claims and, of the wiring
lens, of every prompt; ``<id>.json``, written last, is the question. Its hubs of change are kept
beside it until it is written again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from circuitgraph.base.components import Edge
from circuitgraph.base.errors import InputError, UsageError, quoted
from circuitgraph.diff.record import NO_MECHANISM, REFITTED, Diff, LensDetails, Refitted
from circuitgraph.runs.artefacts import get, put, resting_on
from circuitgraph.runs.record import Run

FOLDER = "diffs"
METHOD = 1
"""Raised when the same question would get other numbers than before: what was kept is then
measured again."""
AGAIN = "diff again"

_PLAIN = tuple(
    field.name
    for field in fields(Diff)
    if field.name
    not in (
        *("runs_a", "runs_b", "table", "details", "refitted", "across", "confirmed"),
        "lens_details",
    )
)
Asked = list[list[str]]
"""Ids of the runs asked for on either side, sorted; more than are compared where weights repeat."""


@dataclass(frozen=True)
class DiffFolder:
    """The diffs kept in one folder, made when first written to."""

    path: Path

    def file(self, diff: str, ending: str) -> Path:
        return self.path / f"{diff}.{ending}"

    def hubs_file(self, diff: str, direction: str, seed: int, samples: int) -> Path:
        return self.file(diff, f"hubs-{direction}-{seed}-{samples}.parquet")

    def record(self, diff: str) -> dict[str, Any]:
        """The question; empty where nothing is kept, ``InputError`` where it is damaged."""
        return get(self.file(diff, "json"), dict, AGAIN) or {}

    def keep(self, diff: Diff, asked: Asked) -> None:
        """Write a diff; the record, without which nothing of it is read, last."""
        self.path.mkdir(parents=True, exist_ok=True)
        for file in self.path.glob(f"{diff.id}.hubs-*"):
            file.unlink(missing_ok=True)
        put(self.file(diff.id, "safetensors"), _arrays_of(diff))
        if diff.across is not None:
            put(self.file(diff.id, "across.parquet"), diff.across)
        put(self.file(diff.id, "parquet"), diff.table)
        self._write(diff, asked, diff.created, self._blocks(diff.id))

    def asked_again(self, diff: Diff, asked: Asked) -> None:
        """Update the time and the null pairs of a kept diff."""
        record = self.record(diff.id)
        self._write(diff, asked, record["measured"], record["blocks"])

    def keep_blocks(self, diff: str, table: pd.DataFrame, summary: dict[str, Any]) -> None:
        """Write the tested blocks of a kept diff, and their summary last."""
        put(self.file(diff, "json"), {**self.record(diff), "blocks": None})
        put(self.file(diff, "blocks.parquet"), table)
        put(self.file(diff, "json"), {**self.record(diff), "blocks": summary})

    def _blocks(self, diff: str) -> Any:
        """Summary of the blocks of a diff that is measured again, if by the same method."""
        with contextlib.suppress(InputError):
            record = self.record(diff)
            return record.get("blocks") if record.get("method") == METHOD else None
        return None

    def _write(self, diff: Diff, asked: Asked, measured: str, blocks: Any) -> None:
        extras = diff.extras
        texts = {name: extras[name].tolist() for name in extras if _is_text(extras[name])}
        record = {name: getattr(diff, name) for name in _PLAIN} | {
            "method": METHOD,
            "asked": asked,
            "measured": measured,
            "runs_a": [run.id for run in diff.runs_a],
            "runs_b": [run.id for run in diff.runs_b],
            "confirmed": diff.confirmed,
            "random_claims": diff.lens_details.random_claims,
            "by_edge": list(diff.lens_details.by_edge),
            "by_prompt": list(diff.lens_details.by_prompt),
            "columns": list(extras),
            "texts": texts,
            "blocks": blocks,
        }
        put(self.file(diff.id, "json"), record)

    def read(self, record: Mapping[str, Any], runs: Mapping[str, Run]) -> Diff | None:
        """The diff of a record; None where an older version wrote it or a file changed.

        ``runs`` are all runs by id.
        """
        if record.get("method") != METHOD:
            return None
        with contextlib.suppress(InputError, LookupError, TypeError):
            diff = self._read(record, runs)
            if diff is not None and _agrees(diff):
                return diff
        return None

    def _read(self, record: Mapping[str, Any], runs: Mapping[str, Run]) -> Diff | None:
        name = record["id"]
        table = get(self.file(name, "parquet"), pd.DataFrame, AGAIN)
        arrays = get(self.file(name, "safetensors"), dict, AGAIN)
        if table is None or arrays is None:
            return None
        extras = _extras_of(record, arrays)
        refitted = {column: extras.pop(column).to_numpy() for column in REFITTED}
        known = {key: record[key] for key in _PLAIN}
        remarks = known["summary"]["remarks"]  # what failed then may be measured now
        others = [line for line in remarks if not line.startswith(NO_MECHANISM)]
        return Diff(
            **{**known, "summary": {**known["summary"], "remarks": others}},
            runs_a=tuple(runs[run] for run in record["runs_a"]),
            runs_b=tuple(runs[run] for run in record["runs_b"]),
            table=table,
            details=extras,
            refitted=Refitted(lambda: refitted),
            across=get(self.file(name, "across.parquet"), pd.DataFrame, AGAIN),
            confirmed=tuple(Edge(*edge) for edge in record["confirmed"]),
            lens_details=LensDetails(
                {column: arrays[f"edge:{column}"] for column in record["by_edge"]},
                {column: arrays[f"prompt:{column}"] for column in record["by_prompt"]},
                record["random_claims"],
            ),
        )

    def find(self, beginning: str) -> str:
        """The id of the one diff whose id begins so.

        Raises
        ------
        UsageError
            There is none, or more than one.
        """
        found = [file.stem for file in self.path.glob("*.json") if file.stem.startswith(beginning)]
        if len(found) != 1:
            what = "no diff" if not found else f"{len(found)} diffs"
            raise UsageError(
                f"{what} whose id begins with {quoted(beginning, 70)} is kept; "
                "query('diffs') lists them"
            )
        return found[0]

    def measured(self) -> Iterator[dict[str, Any]]:
        """The records of diffs that this version measured, sorted by id."""
        for file in sorted(self.path.glob("*.json")):
            with contextlib.suppress(InputError):  # told when it is asked for itself
                if "measured" in (record := self.record(file.stem)):
                    yield record

    def files_of(self, runs: Collection[str]) -> list[Path]:
        """Files of diffs of any of these runs; ``InputError`` where a record is damaged."""
        return resting_on(runs, self.path, lambda r: [*r["runs_a"], *r["runs_b"]], AGAIN)


def _is_text(column: pd.Series) -> bool:
    return column.dtype.kind not in "biuf"  # pandas has several types of text


def _arrays_of(diff: Diff) -> dict[str, np.ndarray]:
    """Numbers of claims, and of the wiring lens those of edges and prompts."""
    extras = diff.extras
    arrays = {"rows": extras.index.to_numpy()}
    arrays |= {
        f"claim:{i}": extras[name].to_numpy()
        for i, name in enumerate(extras)  # scenarios have names that no file need take
        if not _is_text(extras[name])
    }
    more = diff.lens_details
    arrays |= {f"edge:{name}": values for name, values in more.by_edge.items()}
    return arrays | {f"prompt:{name}": values for name, values in more.by_prompt.items()}


def _extras_of(record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> pd.DataFrame:
    texts = record["texts"]
    columns = {
        name: texts[name] if name in texts else arrays[f"claim:{i}"]
        for i, name in enumerate(record["columns"])
    }
    return pd.DataFrame(columns, index=pd.Index(arrays["rows"]))


def _agrees(diff: Diff) -> bool:
    """Whether table, details and record hold the same measurement of mechanisms."""
    measured = set(diff.claims["mechanism"].astype(str)) - {"", "unknown"}
    known = "mechanism" in diff.summary
    return known == ("same" in diff.details) and (known or not measured)
