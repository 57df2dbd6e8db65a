"""Several processes run the tests: which tests stay together, and what is made once for all.

``pytest -n 2`` runs each file in one process, and all that needs the Neo4j server in one.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

TESTS = Path(__file__).parent

WORKER = "PYTEST_XDIST_WORKER"
"""In the environment of each process, where there are several."""

FIRST = (
    *("neo4j", "bridge", "test_blocks", "test_cluster", "test_cli_verdicts", "test_demo"),
    *("test_diff_recipe", "test_diff_wiring", "test_planning", "test_diff_correlation"),
)
"""What takes longest, begun first, so that no process ends long before the other."""


NEO4J = re.compile(r"[\[-]neo4j[\]-]")
BRIDGED = r"(from|import) oracle\b|HOOKED|gpt_neox"


def group(test: str) -> str:
    """Tests of one group run in one process: of the server, of the library's bridge, or of a file.

    A file of many such tests is there whole, of others what ``any_store`` asks on the server;
    should one escape, its process starts a server too, or imports the bridge, which takes seconds.
    """
    file, _, case = test.partition("::")
    if _has(Path(file).name, r"mark\.neo4j|neo4j_(server|store):") or NEO4J.search(case):
        return "neo4j"
    return "bridge" if _has(Path(file).name, BRIDGED) else Path(file).stem


@cache
def _has(name: str, pattern: str) -> bool:
    return bool(re.search(pattern, (TESTS / name).read_text("utf-8")))


def longest_first(items: list[pytest.Item]) -> None:
    """In the order in which processes should begin; as written where there is but one."""
    if WORKER in os.environ:
        rank = {name: place for place, name in enumerate(FIRST)}
        items.sort(key=lambda item: rank.get(group(item.nodeid), len(FIRST)))


def scheduler(config: pytest.Config, log: Any) -> Any:
    """Hands out whole groups (xdist's own ``loadgroup`` is deaf to marks under pytest 9.2)."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that one process fills and every process of this session reads.

    Nobody changes it: where tests may, each process takes a copy.
    """
    folder = _common(factory) / name
    whole = folder.with_name(f"{name} is whole")
    with FileLock(folder.with_name(f"{name}.lock")):
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed half-way
            folder.mkdir()
            make(folder)
            whole.touch()
    return folder


def _common(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of all processes of this session."""
    own = factory.getbasetemp()
    return own.parent if WORKER in os.environ else own


def own_copy(factory: pytest.TempPathFactory, folder: Path) -> Path:
    """What ``made_once`` made, for this process alone."""
    return Path(shutil.copytree(folder, factory.mktemp(folder.name) / "own", symlinks=True))
