"""Ray workers make the run that one process makes, whoever dies on the way."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from models import make_model
from safetensors.numpy import load_file
from shell import cli

from circuitgraph import Workspace
from circuitgraph.base.components import effect_edges, parse
from circuitgraph.base.errors import ClusterError
from circuitgraph.base.progress import Progress, Reporter
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.engine.interface import EffectSpec
from circuitgraph.ingest.cluster import opening as cluster
from circuitgraph.ingest.cluster import team as cluster_team
from circuitgraph.ingest.cluster.address import connect
from circuitgraph.ingest.cluster.opening import edge_slices, halves
from circuitgraph.ingest.cluster.team import Task, Team
from circuitgraph.ingest.cluster.worker import Worker, _job, plain_job, plain_variant
from circuitgraph.ingest.jobs import Job
from circuitgraph.ingest.memory import Room
from circuitgraph.ingest.request import Request
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts import PromptSet
from circuitgraph.prompts.tokens import Encoded
from circuitgraph.runs.record import Method

os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would wait for all other tests
needs_ray = [
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: circuitgraph[ray]"),
]
KINDS = [("head", "joint"), ("head", "split"), ("layer", "joint"), ("layer", "split")]
PAIRS = tuple(
    Encoded((1, 5, 9, k, *range(20, k)), (1, 5, 8, k, *range(20, k)), (8,), (9,), None)
    for k in (22, 21, 24)
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_model("qwen3", tmp_path_factory.mktemp("model") / "base")


@pytest.fixture
def one_thread(monkeypatch):
    """Bits are promised for equally many threads, here and on the workers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


def write_prompts(path: Path, count: int) -> Path:
    """Random pairs of 6 to 10 words in two scenarios."""
    words = random.Random(0)
    rows = []
    for number in range(count):
        text = [f"w{words.randrange(4, 64)}" for _ in range(words.randrange(6, 11))]
        twin = [*text[:3], "w5" if text[3] != "w5" else "w6", *text[4:]]
        row = {"prompt": " ".join(text), "corrupt": " ".join(twin), "scenario": number % 2}
        asked = {"answer": "w8", "wrong_answer": "w9", "direction": 1}
        rows.append(json.dumps(row | asked))
    path.write_text("\n".join(rows))
    return path


@dataclass(frozen=True)
class Watch(Reporter):
    """Keeps what is said; at the n-th batch of effects something happens."""

    at: int = 0
    what: str = ""
    said: list[str] = field(default_factory=list)

    def remark(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(f"warning: {text}")

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.said if line.startswith("warning")]

    @contextmanager
    def progress(self, total, label, unit="prompt"):
        yield Counted(self) if label.endswith("effect") else Progress()

    def act(self) -> None:
        if self.what == "interrupt":
            raise KeyboardInterrupt
        if self.what == "kill":
            pids = re.findall(r"ready: process (\d+)", "\n".join(self.said))
            os.kill(int(pids[-1]), signal.SIGKILL)


class Counted(Progress):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        object.__setattr__(self, "watch", watch)
        object.__setattr__(self, "batches", 0)

    def advance(self, steps: int) -> None:
        if steps:
            object.__setattr__(self, "batches", self.batches + 1)
            if self.batches == self.watch.at:
                self.watch.act()


def ingest(folder, base, prompts, watch=None, **options):
    workspace = Workspace(folder, reporter=watch or Reporter())
    return workspace.ingest(base, name="m", prompts=prompts, load=False, **options)


def everything(runs):
    """Ids and bits of all arrays; what is left in the runs' folder."""
    left = sorted(p.name for p in runs[0].path.parent.iterdir() if p.name[0] == ".")
    arrays = [load_file(run.path / "arrays.safetensors") for run in runs]
    return left, {
        (run.id, name): (value.shape, value.tobytes())
        for run, found in zip(runs, arrays, strict=True)
        for name, value in found.items()
    }


@pytest.fixture
def divided(monkeypatch):
    """How many slices were made of each batch that was left over."""
    counts = []

    def spy(*words):
        counts.append(len(edge_slices(*words)))
        return edge_slices(*words)

    monkeypatch.setattr(cluster, "edge_slices", spy)
    return counts


@pytest.fixture(scope="module")
def small_ray():
    """A local Ray for two workers, for all tests that need none of their own; those come before."""
    import ray

    connect(ray, "local:2")
    yield ray
    ray.shutdown()


class TestRay:
    pytestmark = needs_ray

    @pytest.mark.thorough
    def test_a_worker_killed_in_the_middle_changes_nothing(
        self, base, tmp_path, one_thread, divided
    ):
        prompts = write_prompts(tmp_path / "p.jsonl", 60)
        alone = ingest(tmp_path / "alone", base, prompts, batch_size=4)
        watch = Watch(at=3, what="kill")
        shared = ingest(tmp_path / "ray", base, prompts, watch, batch_size=4, ray="local:2")
        assert everything(shared) == everything(alone)
        assert [run.n for run in shared] == [60, 60]
        assert divided == [2]  # of fifteen batches one is left over for two workers
        [death] = watch.warnings
        assert re.search(r"process \d+ on .* died \(\w+\) at batch \d+; another one", death)

    @pytest.mark.slow
    def test_local_and_ray_finish_what_the_other_began(self, base, tmp_path, one_thread, divided):
        prompts = write_prompts(tmp_path / "p.jsonl", 60)
        options = {"batch_size": 12, "split_inputs": True, "edges": ["effect"]}
        alone = ingest(tmp_path / "alone", base, prompts, **options)
        for stop, ray in ((1, "local:1"), (2, None)):
            watch = Watch(at=stop, what="interrupt")
            with pytest.raises(KeyboardInterrupt):
                ingest(tmp_path / "both", base, prompts, watch, ray=ray, **options)
        parts = list((tmp_path / "both" / "runs").glob(".*.work-*/*.safetensors"))
        assert 1 <= len(parts) < 5
        divided.clear()
        watch = Watch()
        done = ingest(tmp_path / "both", base, prompts, watch, ray="local:2", **options)
        assert everything(done) == everything(alone)
        assert divided == [2] * ((5 - len(parts)) % 2)
        assert watch.warnings == []

    def test_nothing_at_the_address_is_told_within_seconds(self, base, tmp_path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        prompts = write_prompts(tmp_path / "p.jsonl", 4)
        for form in (address, f"ray://{address}"):
            begin = time.monotonic()
            words = ("--name", "m", "--prompts", prompts, "-w", tmp_path / "w", "--ray", form)
            answer = cli("ingest", base, *words)
            assert answer.code == 1
            assert f"--ray {form}: nothing listens there" in answer.complaint
            assert time.monotonic() - begin < 10
        assert not (tmp_path / "w").exists()

    def test_a_batch_that_kills_every_worker_is_given_up_after_three_retries(self, started):
        class Doomed:
            def load(self, variant, job):
                return {"pid": os.getpid(), "host": "here"}

            def compute(self, job, rows, edges):
                if 7 in rows:
                    os._exit(1)
                return {"rows": rows}

        watch = Watch()
        team = started(Doomed, watch)
        pieces = [Task(k, (k, k + 5)) for k in range(3)]
        with pytest.raises(ClusterError, match="died .* at batch 3, like 3 others before it"):
            list(team.run({}, pieces))
        assert len(watch.warnings) == 3

    def test_a_worker_that_cannot_load_is_told_and_not_tried_again(self, started, base):
        variant = plain_variant(load_variant(base).variant)
        team = started(Worker, Watch(), variant | {"base": "/nowhere/at/all"})
        with pytest.raises(ClusterError, match=r"^process \d+ on .*: '/nowhere/at/all': no such"):
            list(team.run({"tokens": []}, [Task(0, (0,))]))

    @pytest.fixture
    def started(self, small_ray, monkeypatch):
        """A team of two workers of some class."""
        teams = []

        def start(worker, watch, variant=None):
            monkeypatch.setattr(cluster_team, "Worker", worker)
            teams.append(Team(small_ray, variant or {}, 2, {"num_cpus": 1}, watch))
            return teams[-1]

        yield start
        for team in teams:
            team.close()


@pytest.mark.pairwise
@pytest.mark.parametrize(("granularity", "inputs"), KINDS)
@pytest.mark.parametrize("chunk_rows", [20, 100, 8192])
@pytest.mark.some(2)
def test_slices_together_are_the_batch_bit_by_bit(base, granularity, inputs, chunk_rows):
    model, batch = from_hf(load_variant(base).merged()), make_batch(PAIRS)
    whole = model.edge_effects(batch, EffectSpec(granularity, inputs, chunk_rows=chunk_rows))
    edges = effect_edges(3, 4, 2, granularity, inputs)
    slices = edge_slices(model, batch, granularity, inputs, 3, chunk_rows)
    assert sorted(e for piece in slices for e in piece) == list(range(len(edges)))
    assert len(slices) == 3
    for piece in slices:
        some = model.edge_effects(
            batch, EffectSpec(granularity, inputs, edges=piece, chunk_rows=chunk_rows)
        )
        assert torch.equal(some.effects, whole.effects[:, list(piece)])
        assert torch.equal(some.totals, whole.totals)


def test_slices_are_alike_in_cost_and_no_more_than_there_are_chunks(base):
    model, batch = from_hf(load_variant(base).merged()), make_batch(PAIRS)
    edges = effect_edges(3, 4, 2, "head", "joint")
    layers = [parse(e.target).layer for e in edges]
    weight = [0.0 if layer is None else 2.5 - layer for layer in layers]
    loads = [
        sum(weight[e] for e in piece) for piece in edge_slices(model, batch, "head", "joint", 3, 1)
    ]
    assert loads == sorted(loads, reverse=True)
    assert max(loads) <= 1.3 * sum(weight) / 3
    few = edge_slices(model, batch, "head", "joint", 50)
    assert len(few) == 4  # three layers and LOGITS, all senders in one chunk


def test_only_what_is_left_over_is_divided():
    assert halves([4, 3, 2, 1, 0], 2) == ([4, 3, 2, 1], [0])
    assert halves([1, 0], 3) == ([], [1, 0])
    assert halves([1, 0], 2) == ([1, 0], [])


def test_without_ray_the_extra_is_named(base, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    prompts = write_prompts(tmp_path / "p.jsonl", 4)
    words = ("--name", "m", "--prompts", prompts, "-w", tmp_path / "w", "--ray", "local")
    answer = cli("ingest", base, *words)
    assert answer.code == 2
    assert "pip install 'circuitgraph[ray]'" in answer.complaint


@pytest.mark.parametrize(
    "address", ["", "nowhere", "local:0", "http://host:1", "ray://me:secret@host:1", "host:port"]
)
def test_what_is_no_address_is_refused_and_not_repeated(tmp_path, address):
    words = ("--name", "m", "--prompts", tmp_path / "p", "-w", tmp_path / "w", "--ray", address)
    answer = cli("ingest", tmp_path, *words)
    assert answer.code == 2
    assert "HOST:PORT" in answer.complaint
    assert "secret" not in answer.complaint


def test_a_worker_refuses_other_weights_and_other_libraries(base):
    variant = plain_variant(load_variant(base).variant)
    job = {"id": "", "method": {"kind": "correlation"}, "request": {}, "tokens": []}
    files = variant["fingerprints"] | {"weights": "x"}
    other = Worker().load(variant | {"fingerprints": files}, job)
    assert "differ" in other["error"]
    old = Worker().load(variant | {"versions": variant["versions"] | {"torch": "1.0"}}, job)
    assert re.search(r"torch .*1\.0; install the same", old["error"])


def test_a_workers_job_measures_the_same_random_edges_exactly():
    method = Method("effect", estimator="receiver-exact", inputs="joint", ablation="corrupt")
    job = Job("id", method, PromptSet((), ""), (), 0, "", sample=(3, 5))
    again, _ = _job(plain_job(job, Request(), Room(1, 1, 0.0)))
    assert again.sample == (3, 5)
