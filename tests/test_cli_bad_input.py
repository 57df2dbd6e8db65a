"""Bad input, one kind at a time: one line that names the place, and nothing changed on disk."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from models import make_adapter, make_model
from shell import IPD, cli, done

from circuitgraph.base.errors import InputError
from circuitgraph.models.variants import load_variant

ROWS = [json.loads(line) for line in (IPD / "prompts.jsonl").read_text("utf-8").splitlines()[:6]]
TABLE = pd.DataFrame(
    {
        "prompt_id": [f"p{i}" for i in range(30)],
        "scenario": "all",
        "L0H0": np.random.default_rng(0).normal(size=30),
        "L0H1": np.random.default_rng(1).normal(size=30),
    }
)


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file below a folder and what is in it."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one table in it."""
    folder = tmp_path_factory.mktemp("kept")
    TABLE.to_csv(folder / "fine.csv", index=False)
    done("ingest-table", folder / "fine.csv", "--name", "fine", "-w", folder / "w")
    return folder / "w"


def refused(workspace: Path, code: int, *words: object) -> str:
    """The complaint about a command that must leave everything as it was."""
    before = fingerprint(workspace)
    answer = cli(*words, "-w", workspace)
    assert answer.code == code, answer.err
    assert fingerprint(workspace) == before
    return answer.complaint


def write_csv(frame: pd.DataFrame) -> Callable[[Path], object]:
    return lambda path: frame.to_csv(path, index=False)


def write_half(write: Callable[[Path], object]) -> Callable[[Path], object]:
    def half(path: Path) -> None:
        write(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return half


def write_text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, "utf-8")


def write_bomb(path: Path) -> None:
    """An npz of 40 kB that unpacks to 40 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("activity.npy", bytes(40 << 20))


LONG = TABLE.melt(["prompt_id", "scenario"], var_name="component")
PUBLISHED = json.dumps({"CC": [{"L0H0": 1.0, "L0H1": 2.0}] * 5}, indent=1)


@pytest.mark.parametrize(
    ("name", "write", "told"),
    [
        ("t.csv", write_csv(TABLE.drop(columns="scenario")), "line 1: no column 'scenario'"),
        ("t.csv", write_csv(TABLE.assign(L0H1=TABLE["L0H1"].mask(TABLE.index == 3))), "line 5"),
        ("t.csv", write_text("prompt_id,scenario,X,Y\na,s,1,2\nb,s,nan,2\n"), "line 3"),
        ("t.csv", write_text("prompt_id,scenario,X,Y\na,s,1,2\nb,s,1,inf\n"), "line 3"),
        ("t.csv", write_text("prompt_id,scenario,X,Y\na,s,1,2\nb,s,1,two\n"), "line 3"),
        ("t.csv", write_text("prompt_id,scenario,X,Y\na,s,1,2\nb,s,1"), "line 3"),
        ("t.csv", write_text("prompt_id,scenario,X,X\na,s,1,2\n"), "'X'"),
        ("t.csv", write_text('prompt_id,scenario,X,Y\na,s,1,2\n"b,s,1,2\n'), "line 3"),
        ("t.csv", write_text(""), "empty"),
        ("t.csv", lambda path: path.write_bytes(b"prompt_id,scenario,X\na,\xff\xfe,1\n"), "line 2"),
        ("t.csv", write_csv(LONG.drop(index=7)), "L0H0"),
        ("t.parquet", write_half(TABLE.to_parquet), "cut off"),
        ("t.parquet", TABLE.assign(L0H0=np.nan).to_parquet, "L0H0"),
        ("t.parquet", TABLE.assign(L0H0="x").to_parquet, "L0H0"),
        ("t.json", write_half(write_text(PUBLISHED)), "line"),
        ("t.json", write_text("[" * 100_000), "t.json"),
        ("t.pkl", lambda path: path.write_bytes(pickle.dumps(TABLE)), "pickle"),
        ("t.csv", lambda path: path.write_bytes(pickle.dumps(TABLE)), "pickle"),
        ("t.parquet", lambda path: path.write_bytes(pickle.dumps(TABLE)), "pickle"),
        ("t.json", lambda path: path.write_bytes(pickle.dumps(TABLE)), "pickle"),
        ("t.npz", write_bomb, "zip"),
        ("t.csv", write_bomb, "zip"),
        ("t.npy", lambda path: np.save(path, np.zeros(3)), "NumPy"),
        ("t.xlsx", write_text("x"), "extension"),
        ("t.csv", lambda path: path.mkdir(), "not a file"),
        ("t.csv", lambda path: None, "no such file"),
    ],
)
def test_tables(
    kept: Path, tmp_path: Path, name: str, write: Callable[[Path], object], told: str
) -> None:
    write(tmp_path / name)
    complaint = refused(kept, 1, "ingest-table", tmp_path / name, "--name", "new")
    assert str(tmp_path / name) in complaint
    assert told in complaint


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"scenario": None}, "line 3: no 'scenario'"),
        ({"prompt": None}, "line 3: no 'prompt'"),
        ({"prompt": ""}, "line 3"),
        ({"prompt": 5}, "line 3"),
        ({"corrupt": ROWS[2]["corrupt"] + " action1"}, "line 3"),
        ({"answer": "unheard-of"}, "line 3"),
        ({"wrong_answer": ROWS[2]["answer"]}, "line 3"),
        ({"direction": "up"}, "line 3"),
        ({"direction": float("nan")}, "line 3"),
        ({"id": ROWS[0]["id"]}, "line 3"),
        ({"scenario": "another", "prompt": ROWS[0]["prompt"], "corrupt": ROWS[0]["corrupt"]}, ""),
    ],
)
def test_prompts(kept: Path, tmp_path: Path, changes: dict, told: str) -> None:
    changed = {k: v for k, v in {**ROWS[2], **changes}.items() if v is not None}
    rows = [*ROWS[:2], changed, *ROWS[3:]]
    file = tmp_path / "p.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")
    words = ("ingest", IPD / "base", "--name", "new", "--prompts", file)
    complaint = refused(kept, 1, *words)
    assert str(file) in complaint
    assert told in complaint


@pytest.mark.parametrize("kept_of_it", [1, 30, 50, 400])
@pytest.mark.parametrize("end", ["", "\n"])
def test_truncated_prompts(kept: Path, tmp_path: Path, kept_of_it: int, end: str) -> None:
    file = tmp_path / "p.jsonl"
    lines = [json.dumps(row) for row in ROWS]
    file.write_text("\n".join([*lines[:5], lines[5][:kept_of_it]]) + end, "utf-8")
    words = ("ingest", IPD / "base", "--name", "new", "--prompts", file)
    assert f"{file}, line 6:" in refused(kept, 1, *words)
    answer = cli("prompts", "check", file)
    assert answer.code == 1
    assert f"{file}, line 6:" in answer.complaint


def test_effects_without_pairs(kept: Path, tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    pd.DataFrame(ROWS)[["prompt", "scenario"]].to_csv(file, index=False)
    words = ("ingest", IPD / "base", "--name", "new", "--prompts", file, "--edges", "effect")
    assert "corrupt" in refused(kept, 2, *words)
    words = ("ingest", IPD / "base", "--name", "new", "--prompts", file, "--edges", "causal")
    assert "causal" in refused(kept, 2, *words)


def model_copy(source: Path, folder: Path) -> Path:
    return Path(shutil.copytree(source, folder))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_models_and_adapters(kept: Path, tmp_path: Path) -> None:
    def complaint(model: Path, adapter: Path | None = None) -> str:
        options = () if adapter is None else ("--adapter", adapter)
        prompts = ("--prompts", IPD / "prompts.jsonl")
        return refused(kept, 1, "ingest", model, *options, "--name", "new", *prompts)

    lora = IPD / "variants" / "hybrid"
    assert "nowhere" in complaint(tmp_path / "nowhere")
    assert "nowhere" in complaint(IPD / "base", tmp_path / "nowhere")
    assert "adapter_config.json" in complaint(IPD / "base", IPD / "base")

    broken = model_copy(lora, tmp_path / "cut-adapter")
    cut(broken / "adapter_model.safetensors")
    assert "cut-adapter" in complaint(IPD / "base", broken)

    broken = model_copy(IPD / "base", tmp_path / "cut-model")
    cut(broken / "model.safetensors")
    assert "cut-model" in complaint(broken)

    broken = model_copy(lora, tmp_path / "wrong-layers")
    config = json.loads((broken / "adapter_config.json").read_text("utf-8"))
    config["target_modules"] = ["no_such_module"]
    (broken / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    assert "wrong-layers" in complaint(IPD / "base", broken)

    broken = model_copy(lora, tmp_path / "pickled")
    (broken / "adapter_model.safetensors").rename(broken / "adapter_model.bin")
    assert "pickled" in complaint(IPD / "base", broken)


def test_names(kept: Path, tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    other = tmp_path / "other.csv"
    TABLE.assign(L0H0=0.5 - TABLE["L0H0"]).to_csv(other, index=False)
    assert "--name is empty" in refused(kept, 2, "ingest-table", other, "--name", "")
    assert "remove" in refused(kept, 2, "ingest-table", other, "--name", "fine")
    assert "Missing option '--name'" in refused(kept, 2, "ingest-table", other)
    words = ("ingest-table", other, "--name", "half \udcff of it")
    assert "surrogate" in refused(kept, 1, *words)


def test_a_workspace_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("", "utf-8")
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    for words in (("ingest-table", tmp_path / "t.csv", "--name", "x"), ("query", "hubs")):
        assert "this is a file" in cli(*words, "-w", tmp_path / "w").complaint


def test_reading_an_empty_workspace_makes_nothing(tmp_path: Path) -> None:
    for words in (("variants",), ("runs",), ("query", "hubs"), ("cypher", "MATCH (n) RETURN n.id")):
        answer = cli(*words, "-w", tmp_path / "none")
        assert answer.code == 0
    assert "empty" in cli("variants", "-w", tmp_path / "none").err
    assert not (tmp_path / "none").exists()
    assert "empty" in cli("edges", "base", "-w", tmp_path / "none").complaint


def test_a_damaged_run_is_named(kept: Path, tmp_path: Path) -> None:
    workspace = Path(shutil.copytree(kept, tmp_path / "w"))
    [run] = (workspace / "runs").iterdir()
    cut(run / "arrays.safetensors")
    assert run.name[:12] in cli("edges", "fine", "-w", workspace).complaint
    cut(run / "run.json")
    assert run.name in cli("variants", "-w", workspace).complaint


def test_weights_stored_as_whole_numbers_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    base = make_model("llama", tmp_path / "base")
    lora = make_adapter(base, tmp_path / "lora")
    name = "model.layers.1.mlp.up_proj.weight"
    for folder, file, key in (
        (base, "model.safetensors", name),
        (lora, "adapter_model.safetensors", None),
    ):
        stored = load_file(folder / file)
        key = key or next(iter(stored))
        broken = shutil.copytree(folder, tmp_path / f"broken-{folder.name}")
        save_file({**stored, key: stored[key].long()}, broken / file, metadata={"format": "pt"})
        loads = (broken, None) if folder is base else (base, broken)
        with pytest.raises(InputError, match=f"{re.escape(key)} is stored as I64"):
            load_variant(*loads)


def test_settings_nested_beyond_reason_are_refused_by_name(tmp_path: Path) -> None:
    base = make_model("llama", tmp_path / "base")
    lora = make_adapter(base, tmp_path / "lora")
    (lora / "adapter_config.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"adapter_config.json: not JSON"):
        load_variant(base, lora)


def test_what_the_system_refuses_is_named_in_one_line(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "fine.csv", index=False)
    answer = cli("ingest-table", tmp_path / "fine.csv", "--name", "m", "-w", "/proc/nowhere/w")
    assert answer.code == 1
    assert "/proc/nowhere" in answer.complaint
    assert "unexpected" not in answer.complaint


def test_a_command_that_fails_leaves_no_diff_behind(kept: Path, tmp_path: Path) -> None:
    refused(kept, 2, "explain", "NO", "L0H1", "fine", "fine")
    refused(kept, 2, "report", "fine", "fine", "-o", tmp_path / "none" / "x.html")
