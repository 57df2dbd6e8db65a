"""The rules CONTRIBUTING promises, enforced: who imports whom, sizes, and what is never used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "circuitgraph"

ORDER = (
    *("errors", "evidence", "components", "channels", "textfiles", "keywords", "progress"),
    *(
        "wellformed",
        "records",
        "runs",
        "frames",
        "selection",
        "prompts",
        "template",
        "signs",
        "conventions",
    ),
    *("continuation", "tokens", "tokenizer", "notices", "architectures", "weights"),
    *("resized", "adapters", "variants", "engine", "ingest", "plant"),
    *("stats", "diff", "graph", "store", "queries", "export", "report"),
    *("patching", "transfer", "faithfulness", "composition", "planning", "intake", "comparison"),
    *("workspace", "demo", "commands", "cli"),
    *("__init__", "__main__"),
)
TORCH_ONLY_IN = re.compile(
    r"(template|tokenizer|notices|weights|resized|adapters|variants)\.py|engine/.*|plant/.*"
    r"|ingest/(?!__init__|tables|table_).*"
)
TORCH_FREE = (
    "textfiles",
    "runs",
    "prompts",
    "stats",
    "diff",
    "graph",
    "store",
    "queries",
    "export",
)
MAX_LINES = 400
REACHES_RIGHT = {("diff/record.py", "graph")}
"""``Diff.graph`` answers in the user's own graph library; imported when called."""

SOURCES = sorted(PACKAGE.rglob("*.py"))


def unit(path: Path) -> str:
    """The module or package of the first level a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def shown(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def roots(path: Path) -> set[str]:
    """The packages a file imports from, whoever wrote them."""
    return {name.split(".")[0] for name in imported(path)}


def imported(path: Path) -> Iterator[str]:
    """Full names of the modules a file imports, wherever in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} line {node.lineno}: imports are absolute"
            assert node.module
            if node.module == "circuitgraph":
                yield from (f"circuitgraph.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_every_module_has_its_place() -> None:
    units = {unit(path) for path in SOURCES}
    assert units - {*ORDER} == set(), "place them in the import order (here and in CONTRIBUTING.md)"


def test_a_module_imports_only_from_its_left() -> None:
    wrong = {}
    for path in SOURCES:
        own, name = unit(path), shown(path)
        others = {n.split(".")[1] for n in imported(path) if n.startswith("circuitgraph.")} - {own}
        known = {other for other in others if (name, other) not in REACHES_RIGHT}
        wrong[name] = {other for other in known if ORDER.index(other) >= ORDER.index(own)}
    assert {name: others for name, others in wrong.items() if others} == {}


def test_torch_is_imported_only_where_models_are() -> None:
    heavy = {"torch", "transformers", "transformer_lens", "peft"}
    light = [path for path in SOURCES if not TORCH_ONLY_IN.fullmatch(shown(path))]
    assert [shown(path) for path in light if heavy & roots(path)] == []


def test_table_paths_never_load_torch() -> None:
    modules = ["circuitgraph.ingest.tables"] + [
        "circuitgraph." + path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        for path in SOURCES
        if unit(path) in TORCH_FREE
    ]
    modules = [name.removesuffix(".__init__") for name in modules]
    code = f"import sys, {', '.join(modules)}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_contributing_tells_the_same_import_order() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    told = re.search(r"```imports\n(.*?)```", text, re.DOTALL)
    assert told
    assert told[1].replace("|", " ").split() == [name for name in ORDER if "__" not in name]


def test_no_file_is_too_long_to_read() -> None:
    everything = [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in everything}
    assert {path: n for path, n in lengths.items() if n > MAX_LINES} == {}


def test_nothing_runs_what_it_reads() -> None:
    """No unpickling, no remote code, no evaluation."""
    loaders = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    assert [shown(path) for path in SOURCES if loaders & roots(path)] == []
    calls = [
        f"{shown(path)} line {node.lineno}: {ast.unparse(node)}"
        for path in SOURCES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and runs_what_it_reads(node)
    ]
    assert calls == []


def runs_what_it_reads(call: ast.Call) -> bool:
    if ast.unparse(call.func) in ("eval", "exec", "torch.load", "pd.read_pickle"):
        return True
    trusting = [w for w in call.keywords if w.arg in ("trust_remote_code", "allow_pickle")]
    return any(ast.unparse(word.value) != "False" for word in trusting)


def test_what_runs_what_it_reads_is_seen() -> None:
    told = "eval(x); torch.load(f); np.load(f, allow_pickle=True); np.load(f, allow_pickle=False)"
    calls = [node for node in ast.walk(ast.parse(told)) if isinstance(node, ast.Call)]
    assert [runs_what_it_reads(call) for call in calls] == [True, True, True, False]


def test_no_file_tells_whose_machine_it_was_written_on() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else []
    for path in (ROOT / name for name in names if name):
        if path.suffix in (".py", ".toml", ".md", ".txt", ".yaml", ".cypher") and path.is_file():
            found = re.search(r"(?<![\w./-])/(home|root|work|Users)/\w+", path.read_text("utf-8"))
            assert found is None, f"{path}: {found}"
