"""Memory and device of what is measured again: batches by hand, the same numbers, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from shell import IPD, cli

from circuitgraph import UsageError, Workspace
from circuitgraph.base.progress import Reporter
from circuitgraph.base.resources import Resources, held_now
from circuitgraph.lenses.mechanism.measure import mechanisms_of
from circuitgraph.models.stored import StoredModel


def test_batches_are_halved_until_they_fit() -> None:
    def each(size: int) -> float:
        return 10.0 * size

    assert Resources().batch_size(16, 1e12, each) == 16
    assert Resources(memory=260).batch_size(16, 100, each) == 16
    assert Resources(memory=259).batch_size(16, 100, each) == 8
    assert Resources(memory=110).batch_size(16, 100, each) == 1
    with pytest.raises(UsageError, match="are too few; this needs at least 110"):
        Resources(memory=109).batch_size(16, 100, each)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of a trained base and a fine-tune of it, two prompts a scenario."""
    folder = tmp_path_factory.mktemp("resources")
    lines = [json.loads(x) for x in (IPD / "prompts.jsonl").read_text("utf-8").splitlines()]
    chosen: dict[str, list[dict]] = {}
    for line in lines:
        chosen.setdefault(line["scenario"], []).append(line)
    kept = [line for group in chosen.values() for line in group[:3]]
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, kept)) + "\n", "utf-8")
    workspace = Workspace(folder / "w")
    for name, adapter in (("base", None), ("tuned", IPD / "variants" / "hybrid")):
        workspace.ingest(
            IPD / "base", adapter=adapter, name=name, prompts=folder / "prompts.jsonl",
            edges="effect", estimator="eap",
        )  # fmt: skip
    return workspace.path


def tight(workspace: Path) -> float:
    """Bytes in which one prompt at a time fits."""
    run = Workspace(workspace).catalogue().of("base", "effect")[-1]
    StoredModel.open(run, "test")
    return held_now() + 200e6


@pytest.mark.thorough
def test_little_memory_gives_the_same_numbers(two: Path, tmp_path: Path) -> None:
    run_a, run_b = (Workspace(two).catalogue().of(name, "effect")[-1] for name in ("base", "tuned"))
    edges = list(range(0, len(run_a.edges), 29))
    usual = mechanisms_of(run_a, run_b, edges, Reporter())
    other = Path(shutil.copytree(two, tmp_path / "w"))
    for swapped in other.glob("runs/*/swapped-*"):
        swapped.unlink()
    run_a, run_b = (
        Workspace(other).catalogue().of(name, "effect")[-1] for name in ("base", "tuned")
    )
    small = Resources(memory=tight(other))
    found = mechanisms_of(run_a, run_b, edges, Reporter(), small)
    largest = np.abs(usual.values).max()
    np.testing.assert_allclose(found.values, usual.values, atol=1e-5 * largest)
    every = [
        Workspace(path).faithfulness("base", memory=size)
        for path, size in ((two, None), (other, tight(other)))
    ]
    np.testing.assert_allclose(*(each.table["faithfulness"] for each in every), rtol=0, atol=1e-5)


@pytest.mark.parametrize("command", [
    ("diff", "base", "tuned"), ("diff", "base", "tuned", "--lens", "wiring"),
    ("explain", "EMBED", "LOGITS", "base", "tuned", "--lens", "wiring"),
    ("blocks", "base", "tuned"), ("patch", "base", "tuned"), ("faithfulness", "base"),
])  # fmt: skip
def test_too_little_memory_and_devices_elsewhere_are_refused(
    two: Path, command: tuple[str, ...]
) -> None:
    for option, told in (
        (("--memory", "1MB"), "are too few"), (("--device", "cuda:99"), "--device"),
    ):  # fmt: skip
        answer = cli("-w", two, *command, *option)
        assert answer.code == 2, answer.err
        assert told in answer.err.splitlines()[-1]


@pytest.mark.parametrize("words", [
    ("ingest", IPD / "base", "--name", "x"),
    ("train", IPD / "base", "--recipe", "utilitarian", "-o", "out"),
], ids=lambda words: words[0])  # fmt: skip
def test_a_device_elsewhere_is_refused_before_a_model_is_loaded(
    words: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (
        "circuitgraph.models.variants.load_variant",
        "circuitgraph.training.train.frozen_base",
    ):
        monkeypatch.setattr(place, lambda *a, **k: pytest.fail("a model is loaded"))
    answer = cli(*words, "--prompts", IPD / "prompts.jsonl", "--device", "cuda:99")
    assert (answer.code, answer.complaint[:35]) == (2, "error: --device cuda:99: not on thi")
