"""Records shared by all runs on one prompt set in a workspace.

The folder ``prompts`` beside the runs holds small JSON files: one for the texts of each prompt
set, with the day of its chat template and the signs of its scenarios; and one for each
tokenization of it, with the totals the signs came from. Later runs never change them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from circuitgraph.base.errors import UsageError
from circuitgraph.prompts.template import Moment
from circuitgraph.runs.artefacts import get, put
from circuitgraph.runs.conventions_file import Signs, record_path, signs_key
from circuitgraph.runs.record import Run, list_runs
from circuitgraph.runs.signs import signs_of


def read_day(runs_folder: Path, prompt_set: str) -> Moment | None:
    """The day of templates for a prompt set (a hash of its texts); None where no run uses one."""
    return _day(_read(runs_folder, prompt_set))


def settle_day(runs_folder: Path, prompt_set: str, moment: Moment) -> None:
    """Record the day of a prompt set, unless it is already.

    A recorded day that the user names later becomes given: templates with a fixed date of their own
    take it.

    Raises
    ------
    UsageError
        Another ingest has recorded another day in the meantime.
    """
    with _lock(runs_folder):
        record = _read(runs_folder, prompt_set)
        known = _day(record)
        if known is not None and known.day != moment.day:
            raise UsageError(
                f"another ingest has told these prompts {known.day} while this one was preparing "
                f"to tell them {moment.day}; run this one again"
            )
        if known is None or (moment.given and not known.given):
            day = {"day": moment.day, "day_given": moment.given}
            _write(runs_folder, prompt_set, {**record, **day})


def _day(record: Mapping[str, Any]) -> Moment | None:
    if "day" not in record:
        return None
    return Moment(str(record["day"]), bool(record.get("day_given")))


def settle_signs(run: Run, runs_folder: Path, base: tuple[str, np.ndarray] | None = None) -> None:
    """Record the signs of a run's prompt set, unless they are already.

    ``base``: name and totals of the model that the run's adapter was trained on, where known;
    else those of a base's run in the workspace, or of the oldest run.
    """
    key = signs_key(run.method.ablation)
    with _lock(runs_folder):
        tokens = _read(runs_folder, run.prompts_fingerprint)
        if key in tokens:
            return
        if base is None:
            effects = [r for r in list_runs(runs_folder) if r.kind == "effect" and r.id != run.id]
            whose = reference([*(r for r in effects if _shared(r) == _shared(run)), run])
            base = whose.variant.name, whose.totals
        name, totals = base
        texts = _read(runs_folder, run.prompt_set) if run.prompt_set else {}
        derived = signs_of(run, totals)
        signs = {**derived, **texts.get(key, {})}
        tokens[key] = {
            "variant": name,
            "by_scenario": signs,
            "totals": np.asarray(totals, float).tolist(),
        }
        if run.prompt_set and key not in texts:  # first: without what follows all is done again
            _write(runs_folder, run.prompt_set, {**texts, key: signs})
        _write(runs_folder, run.prompts_fingerprint, tokens)


def forget_unused(runs_folder: Path, gone: Iterable[Run], left: Iterable[Run]) -> None:
    """Remove records of removed runs (``gone``) that no run left uses.

    Records that an ingest at work has just written are kept, unless it shares a prompt set with a
    removed run.
    """
    used: dict[str, set[str]] = {}
    for run in left:
        for key in (run.prompts_fingerprint, run.prompt_set):
            used.setdefault(key, set()).update(_rests_on(run))
    with _lock(runs_folder):
        for key in {key for run in gone for key in (run.prompts_fingerprint, run.prompt_set)}:
            record = _read(runs_folder, key) if key else {}
            kept = {name: value for name, value in record.items() if name in used.get(key, ())}
            if record and not kept:
                record_path(runs_folder, key).unlink()
            elif kept != record:
                _write(runs_folder, key, kept)


def _rests_on(run: Run) -> set[str]:
    """Keys of the records that a run reads."""
    day = {"day", "day_given"} if run.rendered.get("date") else set()
    return day | ({signs_key(run.method.ablation)} if run.kind == "effect" else set())


def are_settled(runs_folder: Path, prompts_fingerprint: str, ablation: str) -> bool:
    """Whether the signs of a prompt set are recorded."""
    return signs_key(ablation) in _read(runs_folder, prompts_fingerprint)


def list_settled(runs_folder: Path) -> list[Run]:
    """Every whole run of a workspace, oldest first, each with the signs of its prompt set.

    Where their record is lost, runs on the same prompts share signs: else every run would use its
    own totals, and one edge could have different signs in two variants.
    """
    runs = list_runs(runs_folder)
    lacking: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.kind == "effect" and run.signs is None and not run.imported:
            lacking.setdefault(_shared(run), []).append(run)
    found = {key: _signs_of(reference(group)) for key, group in lacking.items()}
    return [
        replace(run, signs=found.get(_shared(run), run.signs)) if run.kind == "effect" else run
        for run in runs
    ]


def reference(runs: Sequence[Run]) -> Run:
    """The run whose totals give the signs: the oldest of a base, else the oldest of all."""
    oldest = sorted(runs, key=lambda run: (run.created, run.id))
    return next((run for run in oldest if not run.variant.adapter), oldest[0])


def _signs_of(run: Run) -> Signs:
    return Signs(
        run.variant.name, signs_of(run, run.totals), tuple(run.totals.astype(float).tolist())
    )


def _shared(run: Run) -> tuple[str, str]:
    """A key that effect runs with the same signs have in common."""
    return run.prompts_fingerprint, run.method.ablation


def _lock(runs_folder: Path) -> FileLock:
    folder = record_path(runs_folder, "").parent
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".lock")


def _read(runs_folder: Path, key: str) -> dict[str, Any]:
    return get(record_path(runs_folder, key), lambda record: {**record}, "ingest again") or {}


def _write(runs_folder: Path, key: str, record: Mapping[str, Any]) -> None:
    put(record_path(runs_folder, key), record)
