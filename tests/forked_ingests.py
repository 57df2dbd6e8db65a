"""Ingests as forked children of a process that has everything imported, killed or in pairs.

Run as a script, so that no thread of a test runner is forked along:

    python tests/forked_ingests.py kills MODEL PROMPTS FOLDER COUNT SEED
    python tests/forked_ingests.py twins MODEL PROMPTS FOLDER
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

import circuitgraph.ingest.models
import circuitgraph.models.variants  # noqa: F401  (imported before the forks, for speed)
from circuitgraph.cli import run

COUNT = """
MATCH (v:Variant) WITH count(v) AS variants
MATCH (r:Run) WITH variants, count(r) AS runs
MATCH (c:Component) WITH variants, runs, count(c) AS components
MATCH ()-[e:AFFECTS]->() WITH variants, runs, components, count(e) AS effects
MATCH ()-[e:CORRELATES]->()
RETURN variants, runs, components, effects, count(e) AS correlations
"""


def start(*words: object) -> int:
    """Run the command line in a child; its process id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # stdout is for the outcome
            code = run([str(word) for word in words])
        finally:
            os._exit(code)
    return child


def end(child: int) -> int:
    """Exit status of a child, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def ingest(model: Path, prompts: Path, folder: Path) -> int:
    """Start an ingest of many small batches."""
    words = ("--name", "m", "--prompts", prompts, "--batch-size", 4, "-w", folder, "-q")
    return start("ingest", model, *words)


def outcome(folder: Path) -> dict[str, object]:
    """What the workspace says now: its edges as CSV, counts in the store, files left over."""
    out = folder.with_suffix(".csv")
    file = folder.with_suffix(".json")
    codes = [
        end(start("edges", "m", "-o", out, "-w", folder, "-q")),
        end(start("cypher", COUNT, "-o", file, "-w", folder, "-q")),
    ]
    counts = json.loads(file.read_text())[0]
    hidden = sorted(p.name for p in (folder / "runs").iterdir() if p.name[0] == ".")
    return {"codes": codes, "edges": out.read_text(), "counts": counts, "hidden": hidden}


def kills(model: Path, prompts: Path, folder: Path, count: int, seed: int) -> dict:
    """An uninterrupted ingest, then some that are killed at random times and run again."""
    begin = time.monotonic()
    status = end(ingest(model, prompts, folder / "whole"))
    took = time.monotonic() - begin
    random_times = random.Random(seed)
    killed = []
    for number in range(count):
        place = folder / f"killed{number}"
        child = ingest(model, prompts, place)
        time.sleep(random_times.uniform(0, took))
        os.kill(child, signal.SIGKILL)
        statuses = [end(child), end(ingest(model, prompts, place))]
        killed.append({"statuses": statuses} | outcome(place))
    return {"status": status, "whole": outcome(folder / "whole"), "killed": killed}


def twins(model: Path, prompts: Path, folder: Path) -> dict:
    """Two processes that ingest the same at once."""
    pair = [ingest(model, prompts, folder / "both") for _ in range(2)]
    return {"statuses": [end(child) for child in pair]} | outcome(folder / "both")


if __name__ == "__main__":
    torch.set_num_threads(1)
    what, *paths = sys.argv[1 : 4 + 1]
    extra = [int(word) for word in sys.argv[5:]]
    found = {"kills": kills, "twins": twins}[what](*map(Path, paths), *extra)
    sys.stdout.write(json.dumps(found))
