"""One command on a disk with less and less room, and then again with all of it.

Run as a script, so that no thread of a test runner is forked along:

    python tests/full_disk.py DISK STARTED FINE COARSE WORDS…

DISK is a small file system; STARTED a workspace, if there is one, that lies there as ``w`` each
time. In WORDS ``@`` stands for DISK. Room grows by FINE pages to 20, then by COARSE, until the
command succeeds.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from forked_ingests import end

import circuitgraph.diff.compare
import circuitgraph.ingest.models
import circuitgraph.models.variants  # noqa: F401  (imported before the forks, for speed)
from circuitgraph.cli import run

PAGE = 4096
SMALL = 20
"""Pages within which most files end; the graph takes more."""


def command(disk: Path, words: list[str]) -> dict[str, object]:
    """Exit status, and the last thing said, of the command line in a child."""
    with tempfile.TemporaryFile() as told:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.dup2(told.fileno(), 2)
                code = run([word.replace("@", str(disk)) for word in words])
            finally:
                os._exit(code)
        code = end(child)
        told.seek(0)
        return {"code": code, "told": told.read().decode()}


def free(disk: Path) -> int:
    """Pages that are free."""
    state = os.statvfs(disk)
    return state.f_bavail * state.f_frsize // PAGE


def fill(disk: Path, room: int) -> None:
    """Leave so many pages."""
    with open(disk / "ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, (free(disk) - room) * PAGE)


def files(disk: Path) -> list[str]:
    """All files under names that are read; locks and hidden ones aside."""
    found = (path.relative_to(disk) for path in disk.rglob("*") if path.is_file())
    seen = [path for path in found if not any(part[0] == "." for part in path.parts)]
    return sorted(str(path) for path in seen if path.suffix not in (".lock", ".partial"))


def digests(disk: Path) -> dict[str, str]:
    """What was measured and written, byte for byte; records tell the time."""
    plain = (".safetensors", ".jsonl", ".csv", ".gexf", ".parquet")
    found = [name for name in files(disk) if name.endswith(plain) and "/Run.csv" not in name]
    return {name: hashlib.sha256((disk / name).read_bytes()).hexdigest() for name in found}


def outcome(disk: Path) -> dict[str, object]:
    """What lies on the disk."""
    return {"files": files(disk), "digests": digests(disk)}


def afresh(disk: Path, started: Path) -> None:
    """The disk with nothing but the workspace to begin with."""
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if started.exists():
        shutil.copytree(started, disk / "w", dirs_exist_ok=True)


def attempts(
    disk: Path, started: Path, fine: int, coarse: int, words: list[str]
) -> dict[str, object]:
    """The command undisturbed, then at every room for which it fails."""
    afresh(disk, started)
    before = files(disk)
    whole = command(disk, words) | outcome(disk)
    tried = []
    for room in (*range(0, SMALL, fine), *range(SMALL, free(disk), coarse)):
        afresh(disk, started)
        fill(disk, room)
        first = command(disk, words)
        (disk / "ballast").unlink()
        tried.append({"room": room, "first": first, "left": files(disk)})
        tried[-1]["litter"] = [str(p) for p in disk.rglob("*.partial*")]
        tried[-1]["again"] = command(disk, words) | outcome(disk)
        if first["code"] == whole["code"]:
            break
    return {"before": before, "whole": whole, "tried": tried}


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, begun, *steps = sys.argv[1:5]
    found = attempts(Path(place), Path(begun), *map(int, steps), sys.argv[5:])
    sys.stdout.write(json.dumps(found))
