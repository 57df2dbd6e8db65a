"""Files of every kind, changed at random: a plain answer or a plain refusal, nothing else."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import make_adapter, make_model
from mutations import changed_bytes, changed_json, changed_record, changed_tensors
from shell import Answer, cli, done

SEEDS = st.integers(0, 1 << 32)
FEW = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}
ROWS = [
    {
        "prompt": f"w{i} w{i + 1} w{i + 2}",
        "corrupt": f"w{i} w{i + 7} w{i + 2}",
        "answer": "w4",
        "wrong_answer": "w5",
        "scenario": f"s{i % 2}",
        "direction": 1,
    }
    for i in range(10, 18)
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.fixture(scope="module")
def given_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, an adapter, prompts, tables, and a workspace of two variants and a table."""
    folder = tmp_path_factory.mktemp("given")
    make_model("gpt2", folder / "model")
    make_adapter(folder / "model", folder / "lora")
    (folder / "prompts.jsonl").write_text(LINES)
    write_tables(folder)
    words = ("--prompts", folder / "prompts.jsonl", "-w", folder / "ws", "-q")
    done("ingest", folder / "model", "--name", "a", *words)
    done("ingest", folder / "model", "--adapter", folder / "lora", "--name", "b", *words)
    cli("diff", "a", "b", "--lens", "effect", "--no-mechanism", "-w", folder / "ws", "-q")
    return folder


def write_tables(folder: Path) -> None:
    chance = np.random.default_rng(0)
    cells = {name: chance.normal(size=12) for name in ("L0H0", "L0H1", "L0_MLP")}
    index = {"prompt_id": [f"p{i}" for i in range(12)], "scenario": ["s", "t"] * 6}
    frame = pd.DataFrame({**index, **cells})
    frame.to_csv(folder / "table.csv", index=False)
    frame.to_parquet(folder / "table.parquet", index=False)
    published = {"CC": [{name: float(v[i]) for name, v in cells.items()} for i in range(12)]}
    (folder / "table.json").write_text(json.dumps(published))


def held(answer: Answer) -> Answer:
    """The contract of every command, whatever it was given."""
    assert answer.code in (0, 1, 2, 3, 4), answer.err
    told = answer.out + answer.err
    assert "Traceback" not in told
    assert not re.search(r"^error: unexpected \w+: ", answer.err, re.MULTILINE), answer.err
    errors = [line for line in answer.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == (answer.code in (1, 2, 4)), answer.err
    return answer


def kept(workspace: Path) -> dict[str, str]:
    """What a workspace holds: every file but locks, and batches that wait for more."""
    found = {}
    for file in sorted(workspace.rglob("*")):
        name = str(file.relative_to(workspace))
        if file.is_file() and not name.endswith(".lock") and "/." not in name:
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


@contextmanager
def changed(folder: Path, name: str, change: Callable[[bytes], bytes]) -> Iterator[Path]:
    """A copy of a folder with one file changed."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(folder, Path(place) / "copy"))
        (copy / name).write_bytes(change((copy / name).read_bytes()))
        yield copy


def ingested(*words: object) -> None:
    """An ingest into nothing: a run, or nothing at all."""
    with tempfile.TemporaryDirectory() as place:
        answer = held(cli("ingest", *words, "--name", "v", "-w", place, "-q"))
        assert answer.code == 0 or kept(Path(place)) == {}, answer.err


def prompts_checked(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    lines = LINES.splitlines()
    at = chance.randrange(len(lines))
    data = LINES.encode()
    if chance.random() < 0.6:
        lines[at] = json.dumps(changed_json(json.loads(lines[at]), chance))
        data = "\n".join(lines).encode()
    else:
        data = changed_bytes(data, chance)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / chance.choice(("p.jsonl", "p.jsonl", "p.json", "p.csv", "p.txt"))
        file.write_bytes(data)
        held(cli("prompts", "check", file, "-q"))
        if seed % 8 == 0:
            ingested(folder / "model", "--prompts", file)


def table_ingested(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    name = chance.choice(("table.csv", "table.json", "table.parquet"))
    data = (folder / name).read_bytes()
    if name == "table.json" and chance.random() < 0.5:
        data = json.dumps(changed_json(json.loads(data), chance)).encode()
    else:
        data = changed_bytes(data, chance)
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / name).write_bytes(data)
        words = ("--name", "v", "-w", Path(place) / "w", "-q")
        answer = held(cli("ingest-table", Path(place) / name, *words))
        assert answer.code == 0 or kept(Path(place) / "w") == {}


READERS = (
    ("runs",),
    ("variants",),
    ("edges", "a"),
    ("query", "strongest-edges"),
    ("diff", "a", "b", "--lens", "effect", "--no-mechanism"),
    ("diff", "a", "b", "--lens", "correlation"),
    ("hubs", "a"),
    ("remove", "b"),
    ("rebuild",),
)


def record_read(folder: Path, seed: int) -> None:
    """A file of a stored run or diff is damaged: an error, or an answer that is whole."""
    chance = random.Random(seed)
    files = [f for f in sorted((folder / "ws").rglob("*.*")) if f.suffix != ".lock" and f.is_file()]
    file = chance.choice([f for f in files if f.name != "graph.lbug"])
    way = changed_bytes
    if file.suffix == ".safetensors":
        way = changed_tensors
    elif file.suffix == ".json":
        way = lambda data, chance: changed_record(data.decode(), chance)  # noqa: E731
    name = str(file.relative_to(folder / "ws"))
    with changed(folder / "ws", name, lambda data: way(data, chance)) as workspace:
        before = kept(workspace)
        answer = held(cli(*chance.choice(READERS), "-w", workspace, "-q"))
        if answer.code not in (0, 3):
            after = kept(workspace)
            assert {k: v for k, v in after.items() if k in before} == before, answer.err


def adapter_ingested(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    name, way = chance.choice(
        (
            ("adapter_config.json", lambda data: changed_record(data.decode(), chance)),
            ("adapter_model.safetensors", lambda data: changed_tensors(data, chance)),
        )
    )
    with changed(folder / "lora", name, way) as lora:
        words = ("--adapter", lora, "--prompts", folder / "prompts.jsonl", "--edges", "correlation")
        ingested(folder / "model", *words)


def model_ingested(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    files = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
    name = chance.choice([*files, "model.safetensors"])
    way = lambda data: changed_record(data.decode(), chance)  # noqa: E731
    if name == "model.safetensors":
        way = lambda data: changed_tensors(data, chance)  # noqa: E731
    with changed(folder / "model", name, way) as model:
        words = ("--prompts", folder / "prompts.jsonl", "--edges", "correlation")
        ingested(model, *words)


def exported(folder: Path, seed: int) -> None:
    """Names of variants and components that hold anything: XML that a parser reads, or no file."""
    chance = random.Random(seed)
    pieces = (
        "x",
        "\x00",
        "\x1f",
        "<",
        "&",
        "]]>",
        '"',
        "\u202e",
        "\ufffe",
        "\n",
        "é",
        "😀",
        " ",
        "/",
    )
    names = ["".join(chance.choices(pieces, k=chance.randint(1, 6))) for _ in range(3)]
    frame = pd.DataFrame({"prompt_id": range(12), "scenario": "s"})
    values = np.random.default_rng(seed).normal(size=(12, 2))
    frame[names[1]], frame[names[2]] = values.T
    with tempfile.TemporaryDirectory() as place:
        frame.to_parquet(Path(place) / "t.parquet")
        words = ("-w", Path(place) / "w", "-q")
        answer = held(cli("ingest-table", Path(place) / "t.parquet", "--name", names[0], *words))
        if answer.code:
            return
        file = Path(place) / "out.gexf"
        answer = held(cli("export", names[0], "--format", "gexf", "-o", file, *words))
        assert file.exists() == (answer.code == 0), answer.err
        if file.exists():
            ElementTree.parse(file)


KINDS = {
    "prompts": (prompts_checked, 150),
    "tables": (table_ingested, 120),
    "records": (record_read, 120),
    "adapters": (adapter_ingested, 60),
    "models": (model_ingested, 60),
    "names": (exported, 30),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_changed_files_are_read_or_refused(kind: str, given_files: Path) -> None:
    act, examples = KINDS[kind]
    before = kept(given_files)

    @settings(max_examples=examples, **FEW)
    @given(SEEDS)
    def run(seed: int) -> None:
        act(given_files, seed)

    run()
    assert kept(given_files) == before


@pytest.mark.parametrize("seed", range(6))
def test_a_few_changed_files_in_every_run(seed: int, tmp_path: Path) -> None:
    write_tables(tmp_path)
    prompts_checked(tmp_path, 8 * seed + 1)
    table_ingested(tmp_path, seed)


def test_the_check_can_fail() -> None:
    for wrong in (
        Answer(5, "", "error: x\n"),
        Answer(1, "", "error: unexpected KeyError: 'x' (--debug shows where; please report it)\n"),
        Answer(1, "", "Traceback (most recent call last):\nerror: x\n"),
        Answer(1, "", ""),
        Answer(0, "", "error: x\n"),
    ):
        with pytest.raises(AssertionError):
            held(wrong)
