"""The notebook of the docs runs from an empty folder, and shows what it shows there."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from shell import ROOT

NOTEBOOK = ROOT / "docs" / "notebooks" / "first-claim.ipynb"


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each code cell prints on stdout."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    streams = [[out.text for out in cell.outputs if out.get("name") == "stdout"] for cell in cells]
    return ["".join(texts) for texts in streams]


@pytest.mark.slow
def test_the_notebook_runs_and_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    stored = nbformat.read(NOTEBOOK, as_version=4)
    shown = printed(stored)
    client = NotebookClient(stored, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    assert printed(client.execute()) == shown
    assert any("null pair base : control: the same test claims" in text for text in shown)
    assert (tmp_path / "report.html").is_file()
