"""Time and memory that ingest announces, beside what it takes: processor seconds and peak memory.

Each case is a process of its own with one thread. The seconds are those of the work that the line
announces, without loading; on a machine that others use, they vary with the load of its caches.

    python benchmarks/announced.py MODEL [--cases eap exact correlation] [--prompts 40]
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from circuitgraph import Workspace, make_prompts
from circuitgraph.base.progress import Reporter
from circuitgraph.ingest import estimate

CASES = {
    "eap": {"edges": "effect", "estimator": "eap"},
    "eap-ig": {"edges": "effect", "estimator": "eap-ig"},
    "receiver-exact": {"edges": "effect", "estimator": "receiver-exact", "granularity": "layer"},
    "exact": {"edges": "effect", "estimator": "exact", "granularity": "layer"},
    "correlation": {"edges": "correlation"},
}


class Listening(Reporter):
    """Notes when the work is announced, and what is."""

    begun = 0.0
    told = ""

    def remark(self, text: str) -> None:
        """One line."""
        self.told += text + "\n"
        # The work begins; remarks follow it, too.
        if text.startswith(("effect: ", "correlation: ")):
            self.begun = time.process_time()


def one(model: str, case: str, number: int) -> dict[str, object]:
    """Ingest in this process; figures of the last run announced."""
    torch.set_num_threads(1)
    seconds: list[float] = []
    plain = estimate.human_seconds

    def noted(value: float) -> str:
        seconds.append(value)
        return plain(value)

    estimate.human_seconds = noted
    reporter = Listening()
    with tempfile.TemporaryDirectory() as folder:
        Workspace(Path(folder) / "w", reporter=reporter).ingest(
            model, name="m", prompts=make_prompts("ioi", model, n=number), load=False, **CASES[case]
        )
    taken = time.process_time() - reporter.begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    [memory] = re.findall(r"memory: ([\d.]+ [kMG]?B) at most", reporter.told)
    return {
        "case": case,
        "prompts": number,
        "announced_s": round(seconds[-1], 1),
        "taken_s": round(taken, 1),
        "ratio": round(seconds[-1] / taken, 2),
        "announced_memory": memory,
        "peak_gb": round(peak / 1e9, 2),
    }


def main() -> None:
    """Print one line of JSON a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--here", action="store_true", help="Measure in this process.")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(one(given.model, given.cases[0], given.prompts)))
        return
    for case in given.cases:
        command = [sys.executable, __file__, given.model, "--here", "--cases", case]
        subprocess.run([*command, "--prompts", str(given.prompts)], check=True)


if __name__ == "__main__":
    main()
