"""Workspaces of real models, made once for all processes and then only read (or copied)."""

from __future__ import annotations

import gc
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pairwise
import pytest
import sharing
from costs import Costs
from hypothesis import settings
from neo4j_server import any_store, neo4j_server, neo4j_store
from real_models import smollm2, smollm2_gguf
from shell import IPD

from circuitgraph import Workspace
from circuitgraph.base.progress import Reporter
from circuitgraph.demo import run_demo
from circuitgraph.runs.record import list_runs

__all__ = [
    "any_store",
    "neo4j_server",
    "neo4j_store",
    "smollm2",
    "smollm2_gguf",
]  # fixtures, found here by name

settings.register_profile("shared", deadline=None)  # cores that others use too tell no time
settings.load_profile("shared")

SEEDS = ("", "-seed1", "-seed2")
VARIANTS = (
    *(f"deontological{seed}" for seed in SEEDS),
    *(f"utilitarian{seed}" for seed in SEEDS),
    *(f"null-self-sft{seed}" for seed in SEEDS),
    *(f"null-random-reward{seed}" for seed in SEEDS),
    "hybrid-l2-mlp-only",
)
PER_SCENARIO = 5  # 25 prompts in 5 scenarios: just enough evidence for both lenses


@pytest.fixture(autouse=True)
def _no_workspace_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CIRCUITGRAPH_WORKSPACE", raising=False)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Costs(), "costs")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    pairwise.rest_is_slow(items)
    pairwise.rest_is_thorough(items)
    sharing.longest_first(items)


def pytest_collection_finish() -> None:
    gc.freeze()  # an ingest collects garbage: not among half a million imported objects each time


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return sharing.scheduler(config, log)


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped models on a fifth of their prompts, and half of their variants."""
    return sharing.made_once(tmp_path_factory, "examples", _some_examples)


def _some_examples(folder: Path) -> None:
    (folder / "base").symlink_to(IPD / "base")
    (folder / "variants").mkdir()
    for name in VARIANTS:
        (folder / "variants" / name).symlink_to(IPD / "variants" / name)
    kept: dict[str, list[str]] = {}
    for line in (IPD / "prompts.jsonl").read_text("utf-8").splitlines():
        kept.setdefault(json.loads(line)["scenario"], []).append(line)
    lines = [line for group in kept.values() for line in group[:PER_SCENARIO]]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture(scope="session")
def demo(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The demo's folder and its last lines."""
    made = sharing.made_once(tmp_path_factory, "demo", partial(_demo, examples))
    out = sharing.own_copy(tmp_path_factory, made)
    lines = json.loads((made / "lines.json").read_text("utf-8"))
    return out, [line.replace(str(made), str(out)) for line in lines]


def _demo(examples: Path, out: Path) -> None:
    lines = run_demo(out, Reporter(), examples)
    for name in TRIO[1:]:  # what many tests ask for
        Workspace(out / "workspace").diff("base", name)
    (out / "lines.json").write_text(json.dumps(lines), "utf-8")


@pytest.fixture(scope="session")
def study(demo: tuple[Path, list[str]]) -> Path:
    """A workspace with a base and thirteen variants, two of them compared with the base by their
    effects; tests that change it take a copy."""
    return demo[0] / "workspace"


@pytest.fixture(scope="session")
def trio(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base, two variants of the study and what differs between them, to be read."""
    return sharing.made_once(tmp_path_factory, "trio", partial(_trio, study))


TRIO = ("base", "utilitarian", "deontological")


def _trio(study: Path, folder: Path) -> None:
    for run in list_runs(study / "runs"):
        if run.variant.name in TRIO:
            shutil.copytree(run.path, folder / "runs" / run.path.name)
    shutil.copytree(study / "prompts", folder / "prompts")
    workspace = Workspace(folder)
    workspace.sync()
    workspace.diff("base", "utilitarian", lens="correlation")
    workspace.diff("base", "utilitarian", lens="effect")
    workspace.diff("deontological", "utilitarian", lens="effect")


@pytest.fixture
def copied(examples: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """A copy of the workspace as it was made, to be changed; diffs of other tests are not in it."""
    made = sharing.made_once(tmp_path_factory, "demo", partial(_demo, examples))
    return Path(shutil.copytree(made / "workspace", tmp_path / "workspace"))


@pytest.fixture(scope="session")
def split(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four variants with effects through q, k and v one by one."""
    make = partial(_split, examples / "prompts.jsonl")
    return sharing.own_copy(tmp_path_factory, sharing.made_once(tmp_path_factory, "split", make))


def _split(prompts: Path, folder: Path) -> None:
    ingest_split(folder, prompts, "base", "null-self-sft")
    ingest_split(folder, prompts, "deontological", "utilitarian")


def ingest_split(workspace: Path, prompts: Path, *names: str) -> None:
    """Ingest shipped variants with split inputs, effects only."""
    options = {"prompts": prompts, "edges": ["effect"], "split_inputs": True, "load": False}
    for name in names:
        adapter = None if name == "base" else IPD / "variants" / name
        Workspace(workspace).ingest(IPD / "base", adapter=adapter, name=name, **options)
