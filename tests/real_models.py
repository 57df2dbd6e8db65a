"""Pretrained models for tests, from folders named by the environment; absent ones skip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a float32 folder."""
    folder = os.environ.get("CIRCUITGRAPH_SMOLLM2", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CIRCUITGRAPH_SMOLLM2 names no folder of SmolLM2-135M-Instruct")
    return Path(folder)
