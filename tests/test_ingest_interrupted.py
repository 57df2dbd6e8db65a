"""Interruption loses nothing and doubles nothing, and neither does a twin."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from models import make_model

SCRIPT = Path(__file__).with_name("forked_ingests.py")
QUIET = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def write_prompts(path: Path, count: int) -> Path:
    """Random pairs of 6 to 10 words in two scenarios."""
    words = random.Random(0)
    rows = []
    for number in range(count):
        text = [f"w{words.randrange(4, 64)}" for _ in range(words.randrange(6, 11))]
        twin = [*text[:3], "w5" if text[3] != "w5" else "w6", *text[4:]]
        row = {"prompt": " ".join(text), "corrupt": " ".join(twin), "scenario": number % 2}
        rows.append(json.dumps(row | {"answer": "w8", "wrong_answer": "w9"}))
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model("qwen3", tmp_path_factory.mktemp("model") / "base")


def forked(*words: object) -> dict:
    command = [sys.executable, str(SCRIPT), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=QUIET, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_kills(model: Path, folder: Path, count: int, seed: int) -> None:
    found = forked("kills", model, write_prompts(folder / "p.jsonl", 40), folder, count, seed)
    whole = found["whole"]
    assert found["status"] == 0
    assert whole["hidden"] == []
    assert whole["edges"].count("\n") > 100
    died = 0
    for one in found["killed"]:
        first, again = one.pop("statuses")
        died += first == -signal.SIGKILL
        assert again == 0
        assert one == whole
    assert died >= count // 2


@pytest.mark.thorough
def test_a_killed_ingest_run_again_is_an_uninterrupted_one(model, tmp_path):
    check_kills(model, tmp_path, 2, seed=1)


@pytest.mark.slow
def test_twenty_killed_ingests_run_again_are_uninterrupted_ones(model, tmp_path):
    check_kills(model, tmp_path, 20, seed=2)


@pytest.mark.slow
def test_two_processes_that_ingest_the_same_make_one_run_of_each_kind(model, tmp_path):
    found = forked("twins", model, write_prompts(tmp_path / "p.jsonl", 30), tmp_path)
    assert found["statuses"] == [0, 0]
    assert (found["counts"]["variants"], found["counts"]["runs"]) == (1, 2)
    assert found["hidden"] == []


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_130(model, tmp_path):
    prompts = write_prompts(tmp_path / "p.jsonl", 2000)
    words = ("ingest", model, "--name", "m", "--prompts", prompts, "--batch-size", 1)
    command = [
        sys.executable,
        "-m",
        "circuitgraph.cli",
        *map(str, words),
        "-w",
        str(tmp_path / "w"),
    ]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=QUIET)
    until = time.monotonic() + 60
    while not list((tmp_path / "w").glob("runs/.*.work-*/*")) and time.monotonic() < until:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    said = child.communicate(timeout=60)[1]
    assert child.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("error: interrupted; the same command again goes on")
