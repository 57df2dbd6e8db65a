"""Workspaces of real models, made once a session and then only read (or copied)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from neo4j_server import any_store, neo4j_server, neo4j_store
from shell import IPD, done

from circuitgraph.demo import run_demo
from circuitgraph.progress import Reporter

__all__ = ["any_store", "neo4j_server", "neo4j_store"]  # fixtures, found here by name

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


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped models on a fifth of their prompts, and half of their variants."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "base").symlink_to(IPD / "base")
    (folder / "variants").mkdir()
    for name in VARIANTS:
        (folder / "variants" / name).symlink_to(IPD / "variants" / name)
    kept: dict[str, list[str]] = {}
    for line in (IPD / "prompts.jsonl").read_text("utf-8").splitlines():
        kept.setdefault(json.loads(line)["scenario"], []).append(line)
    lines = [line for group in kept.values() for line in group[:PER_SCENARIO]]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="session")
def demo(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The demo's folder and its five lines."""
    out = tmp_path_factory.mktemp("demo")
    return out, run_demo(out, Reporter(), examples)


@pytest.fixture(scope="session")
def study(demo: tuple[Path, list[str]]) -> Path:
    """A workspace with a base and thirteen variants; tests that change it take a copy."""
    return demo[0] / "workspace"


@pytest.fixture
def copied(study: Path, tmp_path: Path) -> Path:
    """A copy of the workspace, to be changed."""
    return Path(shutil.copytree(study, tmp_path / "workspace"))


@pytest.fixture(scope="session")
def split(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four variants with effects through q, k and v one by one."""
    folder = tmp_path_factory.mktemp("split")
    ingest_split(folder, examples / "prompts.jsonl", "base", "null-self-sft")
    ingest_split(folder, examples / "prompts.jsonl", "deontological", "utilitarian")
    return folder


def ingest_split(workspace: Path, prompts: Path, *names: str) -> None:
    """Ingest shipped variants with split inputs, effects only."""
    for name in names:
        adapter = () if name == "base" else ("--adapter", IPD / "variants" / name)
        words = ("ingest", IPD / "base", *adapter, "--name", name, "--prompts", prompts)
        done(*words, "--edges", "effect", "--split-inputs", "-w", workspace, "-q")
