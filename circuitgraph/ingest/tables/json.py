"""Activation tables in the JSON of the published moral-alignment runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from circuitgraph.base.errors import quoted
from circuitgraph.base.textfiles import MAX_JSON_BYTES, fail, parse_json, read_text
from circuitgraph.ingest.tables.cells import Wide, check_size

NEEDED = ("scenario", "variant", "component_activations")


def json_cells(path: Path) -> Wide:
    """Read a list of ``{model_id, scenario, variant, component_activations}`` objects.

    Each object is one prompt, named ``<scenario>_v<variant>``.
    """
    size = os.path.getsize(path)
    if size > MAX_JSON_BYTES:
        limit = f"at most {MAX_JSON_BYTES >> 20} MiB"
        fail(path, None, f"{size >> 20} MiB of JSON are too many ({limit}); use csv or parquet")
    records = parse_json(path, read_text(path))
    if not isinstance(records, list):
        fail(path, None, "not a list of objects; see the formats of ingest-table")
    for i, record in enumerate(records):
        _check_record(path, i, record)
    _check_one_model(path, records)
    components = list(records[0]["component_activations"]) if records else []
    check_size(path, len(records), len(components))
    values = np.empty((len(records), len(components)))
    for i, record in enumerate(records):
        values[i] = _row(path, i, record["component_activations"], components)
    scenarios = [str(record["scenario"]) for record in records]
    ids = [f"{s}_v{r['variant']}" for s, r in zip(scenarios, records, strict=True)]
    return Wide(ids, scenarios, components, values, _place)


def _place(i: int) -> str:
    return f"record {i + 1}"


def _check_record(path: Path, i: int, record: Any) -> None:
    if not isinstance(record, dict):
        fail(path, _place(i), "not an object; see the formats of ingest-table")
    for name in NEEDED:
        if name not in record:
            fail(path, _place(i), f"no {name!r}; every record needs {', '.join(NEEDED)}")
    for name in ("scenario", "variant"):
        if isinstance(record[name], bool) or not isinstance(record[name], str | int):
            fail(path, _place(i), f"{name!r} is not text or a whole number: {quoted(record[name])}")
        if record[name] == "":
            fail(path, _place(i), f"{name!r} is empty; give it a name")
    if not isinstance(record["component_activations"], dict):
        fail(path, _place(i), "'component_activations' is not an object of numbers")


def _check_one_model(path: Path, records: list[dict[str, Any]]) -> None:
    for i, record in enumerate(records):
        if record.get("model_id") != records[0].get("model_id"):
            ids = f"{quoted(records[0].get('model_id'))} and {quoted(record.get('model_id'))}"
            fail(path, _place(i), f"two models in one file, {ids}; split it, a file a model")


def _row(path: Path, i: int, activations: dict[str, Any], components: list[str]) -> list[float]:
    expected = set(components)
    for has, lacks, names in (
        (0, i, expected - activations.keys()),
        (i, 0, activations.keys() - expected),
    ):
        if names:
            which = f"no component {quoted(min(names))}, which {_place(has)} has"
            fail(path, _place(lacks), f"{which}; every prompt needs a value of every component")
    return [_number(path, i, name, activations[name]) for name in components]


def _number(path: Path, i: int, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        what = f"{quoted(value)} is not a number"
        fail(path, _place(i), f"component {quoted(name)}: {what}; leave the prompt out")
    try:
        return float(value)
    except OverflowError:
        return float("inf")
