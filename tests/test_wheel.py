"""The wheel alone, installed outside the checkout, is all that is needed.

``make wheel`` runs these, and ``DIST`` says where the wheel then stays. Other libraries are those
of the environment that runs them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest
from shell import IPD, ROOT

pytestmark = pytest.mark.slow

FIRST_RESULT = """
import json
from circuitgraph import Workspace
from circuitgraph.demo import example_folder

ipd = example_folder()
workspace = Workspace("w")
for name, adapter in (("base", None), ("deontological", ipd / "variants" / "deontological")):
    options = {"prompts": ipd / "prompts.jsonl", "edges": "correlation", "granularity": "layer"}
    workspace.ingest(ipd / "base", name=name, adapter=adapter, **options)
diff = workspace.report("base", "deontological", "page.html")
print(json.dumps([str(ipd), len(diff.claims), len(workspace.query("rewired"))]))
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment that holds the wheel, made of the sdist."""
    place = tmp_path_factory.mktemp("wheel")
    dist = Path(os.environ.get("DIST") or place / "dist").resolve()
    python(ROOT, "-m", "build", "--no-isolation", "--outdir", dist, ROOT)
    python(place, "-m", "venv", "--without-pip", place / "fresh")
    fresh = sysconfig.get_path("purelib", vars={"base": str(place / "fresh")})
    # Its .pth files are not read in turn, so that an editable install stays unseen.
    (Path(fresh) / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    wheel = max(dist.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    pip = ("-m", "pip", "--python", place / "fresh" / "bin" / "python", "install", "--no-deps")
    python(place, *pip, "--no-compile", "--quiet", "--no-index", wheel)
    return place / "fresh" / "bin"


def ran(words: Sequence[object], folder: Path) -> str:
    """What a program prints, run in a folder outside the checkout."""
    free = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        [str(word) for word in words], cwd=folder, env=free, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def python(folder: Path, *words: object) -> str:
    return ran((sys.executable, *words), folder)


def test_it_says_what_it_is_and_holds_types_and_models(installed: Path, tmp_path: Path) -> None:
    program = installed / "circuitgraph"
    assert ran((program, "--version"), tmp_path) == "circuitgraph 0.1.0\n"
    assert "\n  demo " in ran((program, "--help"), tmp_path)
    ran((program, "demo", "--examples", "ipd"), tmp_path)
    copied = {path.relative_to(tmp_path / "ipd") for path in (tmp_path / "ipd").rglob("*")}
    assert copied == {path.relative_to(IPD) for path in IPD.rglob("*")}
    where = "import circuitgraph; print(circuitgraph.__path__[0])"
    package = Path(ran((installed / "python", "-c", where), tmp_path).strip())
    assert package.is_relative_to(installed.parent)
    assert (package / "py.typed").is_file()


def test_two_models_of_the_demo_give_a_first_result(installed: Path, tmp_path: Path) -> None:
    told = ran((installed / "python", "-c", FIRST_RESULT), tmp_path)
    folder, claims, found = json.loads(told)
    assert Path(folder).is_relative_to(installed.parent)
    assert claims == found > 0
    assert "base → deontological" in (tmp_path / "page.html").read_text("utf-8")


def test_the_whole_demo(installed: Path, tmp_path: Path) -> None:
    lines = ran((installed / "circuitgraph", "demo", "--out", "out"), tmp_path).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "rewired", "noise", "hub", "levels", "page", "next",
    ]  # fmt: skip
    assert (tmp_path / "out" / "index.html").is_file()
