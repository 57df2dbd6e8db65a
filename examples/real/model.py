"""SmolLM2-135M-Instruct as a float32 folder, which adapters can be trained on."""

from __future__ import annotations

import sys
from pathlib import Path

from fetch import fetch

from circuitgraph.base.progress import Reporter
from circuitgraph.models.gguf import convert_gguf

if __name__ == "__main__":
    place = Path(sys.argv[1])
    if not (place / "smollm2").is_dir():
        convert_gguf(fetch(place), place / "smollm2", Reporter(quiet=False))
