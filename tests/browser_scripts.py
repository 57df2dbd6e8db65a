"""``docker/browser/saved_queries.py`` as a module: it lies outside every package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parents[1] / "docker" / "browser"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("saved_queries", FOLDER / "saved_queries.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["saved_queries"] = module
    spec.loader.exec_module(module)
    return module


saved_queries = _loaded()
