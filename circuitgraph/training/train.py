"""Train variants of one recipe: one adapter folder per seed, with its record."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from circuitgraph.base.atomic import sync, write_atomic
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.base.progress import Reporter, human_bytes
from circuitgraph.base.textfiles import expanded
from circuitgraph.games.opponents import opponent_named
from circuitgraph.games.payoffs import GAMES, MOVES, Game
from circuitgraph.ingest.compute import library_versions
from circuitgraph.models.adapters import require_adapter
from circuitgraph.models.architectures import require_decoder, sizes_of
from circuitgraph.models.variants import fingerprints, load_base, model_folder
from circuitgraph.prompts.reader import Source, read_prompts
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.training.adapter import (
    change_of,
    continued,
    fresh,
    parameters_of,
    round_to_bfloat16,
    trained_from,
    write_adapter,
)
from circuitgraph.training.goals import (
    Goal,
    Policy,
    RandomRewards,
    own_answers,
    reward_tables,
    targets_of,
)
from circuitgraph.training.heldout import Answers, Verdict, answers, table, verdict
from circuitgraph.training.loop import Step, run_steps
from circuitgraph.training.request import TrainRequest, done_before, key_of
from circuitgraph.training.runner import Runner
from circuitgraph.training.sites import Sites, components_named, layers_of, sites_of
from circuitgraph.training.texts import Data, training_data, visits

Targets = dict[tuple[str, str], dict[str, float]]


@dataclass(frozen=True)
class Trained:
    """One finished seed.

    Attributes
    ----------
    folder
        The adapter.
    record
        The content of ``train.json``.
    """

    folder: Path
    record: Mapping[str, Any]

    @property
    def learnt(self) -> bool | None:
        """Whether the recipe was learnt; None for null recipes, or with too few wordings."""
        return self.record["learnt"]

    def rows(self) -> list[dict[str, Any]]:
        """One row per game and state."""
        known = {"adapter": self.folder.name, "seed": self.record["seed"]}
        return [{**known, **row, "learnt": self.learnt} for row in self.record["held_out"]]


def train(
    model: str | os.PathLike[str],
    prompts: Source,
    out: str | os.PathLike[str],
    request: TrainRequest,
    reporter: Reporter | None = None,
) -> list[Trained]:
    """Train every seed that is not finished yet.

    Parameters
    ----------
    model
        A model folder, GGUF file or hub name.
    prompts
        A prompt file with states; see ``training.texts``.
    out
        Folder for one adapter folder per seed, ``RECIPE-0`` and so on.
    request
        All options.
    reporter
        Of progress and verdicts.

    Returns
    -------
    list of Trained
        By seed. After an interruption the same call keeps finished seeds and repeats the
        interrupted one, with the same result bit for bit.

    Raises
    ------
    InputError, UsageError
        Before the model is loaded where possible.
    """
    reporter = reporter or Reporter()
    plan = _planned(model, prompts, expanded(out), request, reporter)
    found = {seed: done_before(plan.folder(seed), plan.key(seed)) for seed in range(request.seeds)}
    missing = [seed for seed, record in found.items() if record is None]
    if missing:
        session = Session.open(plan, reporter)
        for seed in missing:
            found[seed] = session.seed(seed, reporter)
    done = [Trained(plan.folder(seed), record or {}) for seed, record in found.items()]
    for one in done:
        _say(one, reporter)
    return done


def _say(one: Trained, reporter: Reporter) -> None:
    record = one.record
    words = "learnt" if one.learnt else "not learnt" if one.learnt is False else "no verdict"
    text = (
        f"{one.folder.name}: {words}: {record['verdict']}; ‖ΔW‖/‖W‖ {record['change']:.2g}, "
        f"{record['cpu_seconds']:.0f} CPU s"
    )
    (reporter.warn if one.learnt is False else reporter.remark)(text)


@dataclass(frozen=True)
class Plan:
    """All inputs of training except the loaded model.

    Attributes
    ----------
    base, out
        The model's folder; the folder for adapters.
    data
        Texts in groups.
    components
        To train; empty where an adapter is trained further.
    games
        Of the data, with payoffs.
    prints
        Hashes of the base's files and of the adapter trained further.
    request
        All options.
    """

    base: Path
    out: Path
    data: Data
    components: tuple[str, ...]
    games: tuple[Game, ...]
    prints: Mapping[str, str]
    request: TrainRequest

    def folder(self, seed: int) -> Path:
        """Folder of a seed's adapter."""
        return self.out / f"{self.request.recipe.name}-{seed}"

    def key(self, seed: int) -> str:
        """Hash of all that determines a seed's adapter."""
        options = self.request.record() | {"rewards": self.rewards, "components": self.components}
        return key_of(options, self.data.hash, dict(self.prints), seed)

    @property
    def rewards(self) -> dict[str, Any]:
        """Reward by game, state and move."""
        opponent = opponent_named(self.request.opponent)
        return dict(reward_tables(self.request.recipe, self.games, opponent))


def _planned(
    model: str | os.PathLike[str],
    prompts: Source,
    out: Path,
    request: TrainRequest,
    reporter: Reporter,
) -> Plan:
    from transformers import AutoConfig

    folder = model_folder(Path(model), reporter)
    require_decoder(folder)
    adapter = None if request.adapter is None else expanded(request.adapter)
    if adapter is not None:
        require_adapter(adapter)
        if request.components is not None or request.layers is not None:
            raise UsageError("``adapter`` says what is trained; leave components and layers out")
    _require_folder(out)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    count = sizes_of(config, folder)[0]
    chosen = components_named(request.components, request.layers, count)
    data = training_data(read_prompts(prompts), load_tokenizer(folder), config.vocab_size)
    games = _known_games(data, request)
    for line in data.remarks:
        reporter.remark(line)
    prints = fingerprints(model if isinstance(model, str) else Path(model), adapter, folder)
    return Plan(
        base=folder, out=out, data=data, components=() if adapter else tuple(chosen), games=games,
        prints={k: v for k, v in prints.items() if k != "tokenizer"}, request=request,
    )  # fmt: skip


def _known_games(data: Data, request: TrainRequest) -> tuple[Game, ...]:
    known = {**GAMES, **request.games}
    if request.recipe.is_null or request.recipe.table is not None:
        return tuple(known.get(name, Game(name, {})) for name in data.games)
    for name in data.games:
        if name not in known:
            raise InputError(
                f"the prompts are of a game {name!r} whose payoffs are not known; give its TOML "
                "file by ``game``"
            )
    return tuple(known[name] for name in data.games)


def _require_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"-o {out}: this is a file; name a folder")
    if not out.exists() and not out.absolute().parent.is_dir():
        raise UsageError(f"-o {out}: there is no folder {out.parent}")


@dataclass(frozen=True)
class Session:
    """A loaded base on which one seed after another is trained.

    Attributes
    ----------
    plan
        Inputs of training.
    hf
        The transformers model.
    sites
        Matrices to train; None where an adapter is trained further.
    runner
        Computes log-probabilities.
    base
        Answers on held-out texts before training.
    targets
        Target policy by game and state.
    """

    plan: Plan
    hf: Any
    sites: Sites | None
    runner: Runner
    base: Answers
    targets: Targets

    @classmethod
    def open(cls, plan: Plan, reporter: Reporter) -> Session:
        """Load the model; raises InputError."""
        request = plan.request
        hf, warnings = load_base(plan.base)
        for line in warnings:
            reporter.warn(line)
        hf.requires_grad_(False)
        hf = _to_device(hf, request.device)
        sites = sites_of(hf, plan.components) if plan.components else None
        first = sites.first if sites else trained_from(hf, expanded(request.adapter or ""))
        runner = Runner(hf, layers_of(hf)[1], first, request.device)
        for line in runner.check([*plan.data.train, *plan.data.held_out]):
            reporter.remark(line)
        reporter.remark(
            f"{len(plan.data.train)} groups of four states to train on, {len(plan.data.held_out)} "
            "held out"
        )
        with _start_of_training(plan, hf):
            base = answers(runner, plan.data.held_out)
            targets = _targets(plan, runner)
        return cls(plan, hf, sites, runner, base, targets)

    def seed(self, seed: int, reporter: Reporter) -> dict[str, Any]:
        """Train one seed and write its folder; returns its record."""
        plan, request, began = self.plan, self.plan.request, time.process_time()
        order = visits(plan.data.train, request.n_steps, request.groups, seed)
        with (
            self._adapter(seed) as tuned,
            reporter.progress(len(order), plan.folder(seed).name, unit="step") as bar,
        ):
            goal = self._goal(seed, order)
            log = run_steps(
                self.runner, parameters_of(tuned), plan.data.train, order, goal, request.rate,
                lambda: bar.advance(1),
            )  # fmt: skip
            round_to_bfloat16(tuned)
            own = answers(self.runner, plan.data.held_out)
            rows = table(self.base, own, self.targets)
            outcome = verdict(request.recipe.name, rows, self.base, own, self.targets)
            record = self._record(seed, rows, outcome, change_of(tuned))
            record["cpu_seconds"] = time.process_time() - began
            _write(plan.folder(seed), tuned, record, log)
        return record

    def _adapter(self, seed: int) -> AbstractContextManager[Any]:
        if self.sites is None:
            return _start_of_training(self.plan, self.hf)
        rank, name = self.plan.request.rank, self.plan.base.name
        return fresh(self.hf, self.sites, rank, seed, name)

    def _goal(self, seed: int, order: Sequence[Sequence[int]]) -> Goal:
        request = self.plan.request
        if not request.recipe.is_null:
            return Policy(self.targets)
        if request.recipe.name == "random":
            return RandomRewards(request.beta, seed)
        return own_answers(self.runner, self.plan.data.train, order, seed)

    def _record(
        self, seed: int, rows: list[dict[str, Any]], outcome: Verdict, change: float
    ) -> dict[str, Any]:
        plan = self.plan
        return {
            "key": plan.key(seed),
            "seed": seed,
            **plan.request.record(),
            "components": list(plan.components),
            "adapter_before": plan.prints.get("adapter", ""),
            "rewards": plan.rewards,
            "data": plan.data.hash,
            "base": plan.prints["weights"],
            "versions": library_versions(),
            "held_out": rows,
            "learnt": outcome.learnt,
            "verdict": outcome.words,
            "p": outcome.p,
            "change": change,
            "peak": human_bytes(1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
        }


def _start_of_training(plan: Plan, hf: Any) -> AbstractContextManager[Any]:
    """Context with the model before training: the base, or the adapter trained further."""
    if plan.request.adapter is None:
        return nullcontext()
    return continued(hf, expanded(plan.request.adapter), plan.base.name)


def _to_device(hf: Any, device: str) -> Any:
    try:
        return hf.to(device)
    except (RuntimeError, AssertionError) as error:
        why = " ".join(str(error).split())[:120]
        raise UsageError(f"``device={device}``: cannot be used ({why})") from error


def _targets(plan: Plan, runner: Runner) -> Targets:
    request = plan.request
    if request.reference == "uniform" or not plan.rewards:
        return targets_of(plan.rewards, request.beta)
    found = answers(runner, plan.data.train)
    mean = float(found.p.mean())
    return targets_of(plan.rewards, request.beta, dict(zip(MOVES, (mean, 1 - mean), strict=True)))


def _write(folder: Path, tuned: Any, record: Mapping[str, Any], log: Sequence[Step]) -> None:
    """Write a seed's folder; it appears under its name only when complete."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        write_adapter(tuned, partial)
        text = io.StringIO()
        writer = csv.DictWriter(text, [f.name for f in fields(Step)], lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: _short(v) for k, v in asdict(step).items()} for step in log)
        write_atomic(partial / "log.csv", text.getvalue().encode("utf-8"))
        content = json.dumps(record, indent=1, ensure_ascii=False, default=str)
        write_atomic(partial / "train.json", content.encode("utf-8"))
        os.rename(partial, folder)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync(folder.parent)


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
