"""CPU time and memory of a diff of two million edges, in a fresh process.

2,000 components, 200 prompts: compare, write parquet. Promise: 5 s of CPU, 1.5 GiB.

    python benchmarks/diff_two_million.py [--scenarios 5]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_CHILD = """
import sys, json
from pathlib import Path
from circuitgraph.diff import compare_runs
from circuitgraph.base.frames import write_parquet
from circuitgraph.runs.record import read_run
a, b = (read_run(Path(folder)) for folder in sys.argv[1:3])
diff = compare_runs([a], [b], name_a="A", name_b="B", lens="correlation")
write_parquet(diff.table, Path(sys.argv[3]))
print(json.dumps({"edges": len(diff.table), "claims": diff.summary["n_claims"]}))
"""


def write_runs(folder: Path, scenarios: int, rewired: int) -> list[Path]:
    """Two tables of 2,000 components with five common factors, ``rewired`` of them changed."""
    import numpy as np
    from calibration import table_run

    from circuitgraph.runs.record import write_run

    rng = np.random.default_rng(0)
    factors = rng.normal(size=(200, 5))
    loadings = rng.normal(size=(5, 2000))
    noise = rng.normal(size=(200, 2000))
    changed = loadings.copy()
    changed[:, :rewired] = rng.normal(size=(5, rewired))
    codes = np.arange(200) % scenarios
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"A": factors @ loadings, "B": factors @ changed}
    later = 0.3 * rng.normal(size=noise.shape)
    return [
        folder / write_run(table_run(x + noise + (name == "B") * later, codes, name), folder).id
        for name, x in tables.items()
    ]


def main() -> None:
    """Print edges, claims, CPU seconds and peak memory as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", type=int, default=5)
    parser.add_argument("--rewired", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = write_runs(folder / "runs", arguments.scenarios, arguments.rewired)
        start = time.perf_counter()
        command = [sys.executable, "-c", _CHILD, *map(str, runs), str(folder / "x.parquet")]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    record = json.loads(done.stdout) | {
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "wall_seconds": round(time.perf_counter() - start, 2),
        "peak_gib": round(used.ru_maxrss / 2**20, 2),
    }
    sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
