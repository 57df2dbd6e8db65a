"""The rules CONTRIBUTING promises, enforced: who imports whom, sizes, and what is never used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "circuitgraph"

ORDER = (
    *("base", "stats", "prompts", "games", "runs", "engine", "models"),
    *("updates", "ingest", "lenses"),
    *("graph", "diff", "store", "queries", "hubs", "composition", "interventions", "planning"),
    *("nodes", "training", "behaviour", "levels", "export", "report", "plant", "transfer"),
    *("workspace", "study", "explore", "demo", "commands", "cli", "__init__", "__main__"),
)
TORCH_ONLY_IN = re.compile(
    r"base/notices\.py|prompts/(template|tokenizer)\.py|(engine|models|plant|updates)/.*"
    r"|ingest/(?!__init__|tables/).*|(lenses|interventions|composition|nodes)/.*|planning/cost\.py"
    r"|training/.*|(behaviour|levels)/measure\.py|study/forecast\.py"
)
TORCH_FREE = (
    "base",
    "stats",
    "prompts",
    "games",
    "runs",
    "diff",
    "graph",
    "hubs",
    "store",
    "queries",
    "export",
)
MAX_LINES = 400

SOURCES = sorted(PACKAGE.rglob("*.py"))


def module(path: Path) -> str:
    """Full name of a file as a module."""
    dotted = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    return dotted.removesuffix(".__init__")


MODULES = {module(path): path for path in SOURCES}


def unit(path: Path) -> str:
    """The folder (or single module) of the first level that a file belongs to."""
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
        wrong[name] = {other for other in others if ORDER.index(other) >= ORDER.index(own)}
    assert {name: others for name, others in wrong.items() if others} == {}


def test_no_file_imports_itself_through_others() -> None:
    graph = nx.DiGraph()
    for name, path in MODULES.items():
        graph.add_edges_from((name, other) for other in modules_of(path) & {*MODULES} - {name})
    circles = [sorted(c) for c in nx.strongly_connected_components(graph) if len(c) > 1]
    assert circles == []


def modules_of(path: Path) -> set[str]:
    """Everything that a file imports from: of a package that part which it names."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {part if part in MODULES else node.module for part in parts.values()}
    return found


def test_torch_is_imported_only_where_models_are() -> None:
    heavy = {"torch", "transformers", "transformer_lens", "peft"}
    light = [path for path in SOURCES if not TORCH_ONLY_IN.fullmatch(shown(path))]
    assert [shown(path) for path in light if heavy & roots(path)] == []


def test_table_paths_never_load_torch() -> None:
    modules = ["circuitgraph.ingest.tables.table"] + [
        "circuitgraph." + path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        for path in SOURCES
        if unit(path) in TORCH_FREE and not TORCH_ONLY_IN.fullmatch(shown(path))
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
    """No unpickling, no remote code, no evaluation but of a reward that the user names."""
    loaders = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    assert [shown(path) for path in SOURCES if loaders & roots(path)] == []
    calls = [
        f"{shown(path)}: {ast.unparse(node)}"
        for path in SOURCES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and runs_what_it_reads(node)
    ]
    assert calls == ["training/rewarded.py: loader.exec_module(module)"]


def runs_what_it_reads(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    if name in ("eval", "exec", "torch.load", "pd.read_pickle") or name.endswith("exec_module"):
        return True
    trusting = [w for w in call.keywords if w.arg in ("trust_remote_code", "allow_pickle")]
    return any(ast.unparse(word.value) != "False" for word in trusting)


def test_no_public_function_takes_options_it_does_not_name() -> None:
    """Commands, whose options click names, and replacements of other libraries' methods aside."""
    found = {
        f"{shown(path)} {node.name}"
        for path in SOURCES
        if unit(path) != "commands"
        for holder in ast.walk(parsed(path))
        if isinstance(holder, ast.Module | ast.ClassDef)
        for node in holder.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        if node.args.kwarg and ast.unparse(node.args.kwarg.annotation or node) in ("Any", "object")
    }
    assert found == {"engine/bridge/positions.py forward", "training/grpo.py on_step_end"}


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


TALK = re.compile(
    r"\b(hears?|heard|speaks?|spoken|told|says?|said|vouch\w*|asked|judged|lends?|lent|voices?)\b"
)
OTHER_STYLE = re.compile(
    r"^\s*(Args|Arguments|Returns|Raises|Attributes|Yields):\s*$", re.MULTILINE
)
UNDERLINED = re.compile(
    r"^( *)(?:Parameters|Returns|Raises|Attributes|Yields|Notes|Examples)\n(?!\1-{4,}$)",
    re.MULTILINE,
)


def test_docstrings_are_numpydoc_and_say_plainly_what_a_thing_is() -> None:
    """Of components and models nobody speaks: a first line names the quantity or the act."""
    docs = {
        f"{shown(path)} {getattr(node, 'name', '')}": found
        for path in SOURCES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and (found := ast.get_docstring(node))
    }
    other = {name for name, doc in docs.items() if OTHER_STYLE.search(doc)}
    assert other == set(), "sections are numpydoc's: a name, and a line of hyphens under it"
    assert {name for name, doc in docs.items() if UNDERLINED.search(doc)} == set()
    first = {name: doc.splitlines()[0] for name, doc in docs.items()}
    assert {name: line for name, line in first.items() if TALK.search(line)} == {}
