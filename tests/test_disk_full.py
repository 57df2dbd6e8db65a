"""A disk that fills up at any write: a plain error, nothing half-written, and then it works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from shell import done
from test_push_pull import write_table

from circuitgraph.store import EmbeddedStore

LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[1])
from circuitgraph.cli import run
import circuitgraph.workspace, torch, transformers
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(run(sys.argv[2:]))
"""
"""No file may grow beyond the limit: as on a full disk, a write fails in its middle."""


def limited(limit: int, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LIMITED, str(limit), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def told(answer: subprocess.CompletedProcess[str], *, where: str = "") -> None:
    """One plain line that names a file and what is the matter with it."""
    assert answer.returncode == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    [line] = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert "unexpected" not in line, line
    assert where in line
    assert "large" in line.lower() or "space" in line.lower(), line


@pytest.mark.slow
def test_a_table_and_its_graph_on_a_full_disk(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 0)
    words = ("ingest-table", tmp_path / "t.csv", "--name", "t", "-w", tmp_path / "w", "-q")
    told(limited(500, *words), where="arrays")
    assert not list((tmp_path / "w" / "runs").rglob("*"))
    told(limited(100_000, *words), where="graph.lbug")
    assert not (tmp_path / "w" / "graph.lbug").exists()
    done(*words)
    assert len(EmbeddedStore(tmp_path / "w" / "graph.lbug").run_ids()) == 1
