"""Trained variants beside nulls: the rank test by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuitgraph.training.heldout import beside_nulls


def record(recipe: str, p: float, target: float | None) -> dict:
    row = {"game": "ipd", "state": "CC", "p": p, "target": target}
    return {"recipe": recipe, "data": "d", "base": "b", "held_out": [row]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, p, data in (("self-0", 0.5, "d"), ("random-0", 0.7, "d"), ("self-1", 1.0, "other")):
        (tmp_path / name).mkdir()
        told = record(name.split("-")[0], p, None) | {"data": data}
        (tmp_path / name / "train.json").write_text(json.dumps(told), "utf-8")
    return tmp_path


def test_all_seeds_beyond_all_nulls(folder: Path) -> None:
    told = beside_nulls([record("hybrid", p, 0.9) for p in (0.8, 0.95)], folder)
    assert told == "2 of 2 seeds nearer to the target than each of 2 nulls (p = 0.17)"  # 1 in 6


def test_a_seed_no_nearer_than_a_null_is_told(folder: Path) -> None:
    told = beside_nulls([record("hybrid", p, 0.9) for p in (0.8, 0.6)], folder)
    assert told == "1 of 2 seeds nearer to the target than each of 2 nulls"


def test_nothing_is_said_of_nulls_or_without_them(folder: Path, tmp_path: Path) -> None:
    assert beside_nulls([record("self", 0.5, None)], folder) == ""
    assert beside_nulls([record("hybrid", 0.9, 0.9) | {"data": "third"}], folder) == ""
