"""Diffs of a pretrained model: processor seconds and most memory, each in its own process.

Both variants are ingested by ``eap`` first; the figures are those of ``circuitgraph diff`` alone.
The adapter is of rank 1 on one MLP unless another is named.

    python benchmarks/wiring_at_size.py MODEL --granularity head --lens wiring effect
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from circuitgraph import Workspace, make_prompts

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "real"))

ONE = "from circuitgraph.cli import main; main()"


def prepared(model: str, adapter: str | None, granularity: str, n: int, folder: Path) -> Path:
    """A workspace with the base and the variant."""
    from train import train

    prompts = make_prompts("ioi", model, n=n)
    tuned = Path(adapter) if adapter else train(Path(model), prompts, folder / "adapter", 12)
    workspace = Workspace(folder / "workspace")
    for name, own in (("base", None), ("tuned", tuned)):
        workspace.ingest(
            model, adapter=own, name=name, prompts=prompts, edges="effect", estimator="eap",
            granularity=granularity,
        )  # fmt: skip
    return folder / "workspace"


def main() -> None:
    """Print one line a lens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--adapter")
    parser.add_argument("--granularity", choices=["layer", "head"], default="layer")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--lens", nargs="*", default=["wiring", "effect"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = prepared(
            given.model, given.adapter, given.granularity, given.prompts, Path(folder)
        )
        for lens in given.lens:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-c", ONE, "-w", str(workspace), "diff", "base", "tuned"]
            command += ["--lens", lens, "-o", str(Path(folder) / f"{lens}.csv"), "--format", "csv"]
            subprocess.run(command, check=True)
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
            print(f"{lens}: {seconds:.0f} s of CPU, {used.ru_maxrss / 1e6:.2f} GB at most so far")


if __name__ == "__main__":
    main()
