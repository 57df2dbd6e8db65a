"""What a CUDA device measures, against the same on the CPU; skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from shell import IPD, cli

from circuitgraph import Workspace
from circuitgraph.base.errors import UsageError
from circuitgraph.lenses.wiring.lens import Wiring
from circuitgraph.models.devices import require_there

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.slow,
]

VARIANTS = {
    "base": None,
    "deontological": "deontological",
    "utilitarian": "utilitarian",
    "seed": "utilitarian-seed1",
}
DEVICES = ("cpu", "cuda")
CLOSE = 2e-4
"""Of the largest number: float32 on either device."""


def filled(folder: Path, device: str, examples: Path, **options: Any) -> Workspace:
    """A workspace whose runs were measured on a device."""
    workspace = Workspace(folder / device)
    for name, adapter in VARIANTS.items():
        workspace.ingest(
            examples / "base", name=name, adapter=adapter and examples / "variants" / adapter,
            prompts=examples / "prompts.jsonl", device=device, load=False, **options,
        )  # fmt: skip
    return workspace


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> list[Workspace]:
    """The same exact effects and correlations, by device."""
    folder = tmp_path_factory.mktemp("cuda")
    return [filled(folder, device, examples, estimator="exact") for device in DEVICES]


def on_each(both: list[Workspace], measure: Callable[[Workspace, str], Any]) -> list[Any]:
    """A measurement by device."""
    return [measure(one, device) for one, device in zip(both, DEVICES, strict=True)]


def alike(here: pd.DataFrame, there: pd.DataFrame, close: float = CLOSE) -> None:
    """Equal columns; numbers within ``close`` of the largest of their column."""
    assert list(here.columns) == list(there.columns)
    assert len(here) == len(there) > 0
    for name in here:
        if not pd.api.types.is_float_dtype(here[name]):
            continue
        x, y = here[name].to_numpy(float), there[name].to_numpy(float)
        # By function, a channel that is exactly 0 on one device and rounding on the other.
        assert not np.nan_to_num(x[np.isnan(y)]).any()
        assert not np.nan_to_num(y[np.isnan(x)]).any()
        if np.isfinite(x).any():
            apart = np.nanmax(np.abs(x - y))
            assert apart <= close * max(np.nanmax(np.abs(x)), 1e-9), (name, apart)


def test_runs_hold_the_same_numbers(both: list[Workspace]) -> None:
    here, there = (workspace.catalogue().runs for workspace in both)
    assert [run.id for run in here] == [run.id for run in there]
    for a, b in zip(here, there, strict=True):
        for name, value in a.arrays.items():
            if np.asarray(value).dtype.kind == "f":
                apart = np.abs(value - b.arrays[name]).max()
                assert apart <= CLOSE * np.abs(value).max(), (a.variant.name, name)


@pytest.mark.parametrize("estimator", ["receiver-exact", "eap", "eap-ig"])
@pytest.mark.parametrize("inputs", [False, True])
def test_estimators(estimator: str, inputs: bool, tmp_path: Path, examples: Path) -> None:
    made = [
        filled(tmp_path, device, examples, estimator=estimator, split_inputs=inputs, edges="effect")
        for device in DEVICES
    ]
    test_runs_hold_the_same_numbers(made)


def test_claims_and_why(both: list[Workspace]) -> None:
    here, there = on_each(both, lambda w, d: w.diff("deontological", "utilitarian", device=d))
    assert len(here.claims)
    assert here.claims["mechanism"].tolist() == there.claims["mechanism"].tolist()
    assert (here.table["verdict"] == there.table["verdict"]).mean() > 0.99  # bounds may touch
    alike(
        here.table[["weight_a", "weight_b", "delta"]],
        there.table[["weight_a", "weight_b", "delta"]],
    )


def test_a_screen_is_confirmed(tmp_path: Path, examples: Path) -> None:
    made = [
        filled(tmp_path, device, examples, estimator="eap", edges="effect") for device in DEVICES
    ]
    here, there = on_each(made, lambda w, d: w.diff("deontological", "utilitarian", device=d))
    assert here.summary["n_claims"] == there.summary["n_claims"] > 0


def test_random_nulls(both: list[Workspace]) -> None:
    here, there = on_each(
        both, lambda w, d: w.diff("base", "utilitarian", null="random:1", mechanism=False, device=d)
    )
    assert here.summary["n_claims"] == there.summary["n_claims"]


@pytest.mark.parametrize("form", ["weights", "functional"])
def test_wiring(both: list[Workspace], form: Any) -> None:
    lens = Wiring(form=form)
    here, there = on_each(both, lambda w, d: w.diff("base", "utilitarian", lens=lens, device=d))
    columns = ["weight_a", "weight_b", "delta"]
    alike(here.table[columns], there.table[columns], 1e-3)
    assert here.summary["n_claims"] == there.summary["n_claims"]


def test_wiring_by_inputs(tmp_path: Path, examples: Path) -> None:
    made = [
        filled(tmp_path, device, examples, estimator="eap", split_inputs=True, edges="effect")
        for device in DEVICES
    ]
    here, there = on_each(made, lambda w, d: w.diff("base", "seed", lens="wiring", device=d))
    alike(
        here.table[["weight_a", "weight_b", "delta"]],
        there.table[["weight_a", "weight_b", "delta"]],
        1e-3,
    )


def test_patches(both: list[Workspace]) -> None:
    parts = ("components", "edges", "sets", "routes")
    here, there = on_each(
        both, lambda w, d: w.patch("deontological", "utilitarian", parts=parts, device=d)
    )
    alike(here.components, there.components, 1e-3)


def test_blocks_and_faithfulness(both: list[Workspace]) -> None:
    here, there = on_each(both, lambda w, d: w.faithfulness("utilitarian", random=2, device=d))
    alike(here.table, there.table, 1e-3)
    found = on_each(both, lambda w, d: w.diff("deontological", "utilitarian").blocks(device=d))
    alike(found[0].table, found[1].table, 1e-2)


def test_mean_ablation(tmp_path: Path, examples: Path) -> None:
    made = [
        filled(tmp_path, device, examples, ablation="mean", edges="effect") for device in DEVICES
    ]
    test_runs_hold_the_same_numbers(made)
    here, there = on_each(made, lambda w, d: w.diff("deontological", "utilitarian", device=d))
    assert here.summary["n_claims"] == there.summary["n_claims"]


@pytest.mark.parametrize("trainer", ["exact", "trl"])
def test_training(trainer: str, tmp_path: Path) -> None:
    decisions = []
    for device in DEVICES:
        answer = cli(
            "train", IPD / "base", "--recipe", "utilitarian", "--prompts", IPD / "prompts.jsonl",
            "-o", tmp_path / device, "--seeds", 1, "--steps", 10, "--trainer", trainer,
            "--device", device,
        )  # fmt: skip
        assert answer.code in (0, 3), answer.err  # 3: not learnt, in so few steps
        [adapter] = [path.parent for path in (tmp_path / device).rglob("adapter_config.json")]
        workspace = Workspace(tmp_path / f"{device}-workspace")
        [run] = workspace.ingest(
            IPD / "base", adapter=adapter, name="a", prompts=IPD / "prompts.jsonl", edges="effect",
            estimator="eap",
        )  # fmt: skip
        decisions.append(run.arrays["decisions"])
    if trainer == "exact":
        assert np.abs(decisions[0] - decisions[1]).max() <= 1e-2 * np.abs(decisions[0]).max()


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="not on this machine"):
        require_there(f"cuda:{torch.cuda.device_count()}")
