"""Train variants of one recipe: one adapter folder per seed, with its record."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from circuitgraph.base.progress import Reporter, human_bytes
from circuitgraph.base.textfiles import expanded
from circuitgraph.games.payoffs import MOVES
from circuitgraph.ingest.compute import library_versions
from circuitgraph.prompts.reader import Source
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.training.adapter import (
    change_of,
    continued,
    fresh,
    frozen_base,
    parameters_of,
    round_to_bfloat16,
    trained_from,
)
from circuitgraph.training.goals import (
    Goal,
    Policy,
    RandomRewards,
    own_answers,
    targets_of,
)
from circuitgraph.training.grpo import questions, run_grpo
from circuitgraph.training.heldout import Answers, Verdict, answers, beside_nulls, table, verdict
from circuitgraph.training.loop import run_steps
from circuitgraph.training.plan import Plan, planned
from circuitgraph.training.request import TrainRequest, done_before
from circuitgraph.training.rewarded import GameReward, game_texts, longest_label
from circuitgraph.training.runner import Runner
from circuitgraph.training.sampled import train_by_function
from circuitgraph.training.sites import Sites, layers_of, sites_of
from circuitgraph.training.texts import visits
from circuitgraph.training.written import Trained, write_seed

Targets = dict[tuple[str, str], dict[str, float]]
Log = Sequence[Mapping[str, Any]]


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
    if request.recipe.source:
        return train_by_function(model, prompts, expanded(out), request, reporter or Reporter())
    return train_all(model, prompts, [(expanded(out), request)], reporter)[0]


def train_all(
    model: str | os.PathLike[str],
    prompts: Source,
    asked: Sequence[tuple[Path, TrainRequest]],
    reporter: Reporter | None = None,
) -> list[list[Trained]]:
    """Train several recipes, each into a folder, on one load of the model; see :func:`train`.

    Their seeds are trained in turn, so that an interrupted call leaves some of each.
    """
    reporter = reporter or Reporter()
    plans: list[Plan] = []
    for out, request in asked:
        data = plans[0].data if plans else None
        plans.append(planned(model, prompts, out, request, reporter, data))
    found = {
        (number, seed): done_before(plan.folder(seed), plan.key(seed))
        for number, plan in enumerate(plans)
        for seed in range(plan.request.seeds)
    }
    session: Session | None = None
    left = (key for key, done in found.items() if done is None)
    for number, seed in sorted(left, key=lambda key: key[::-1]):  # first seeds of all, then second
        plan = plans[number]
        session = session.turned(plan, reporter) if session else Session.open(plan, reporter)
        found[number, seed] = session.seed(seed, reporter)
        _remark(Trained(plan.folder(seed), found[number, seed] or {}), reporter)
    done = [
        [Trained(p.folder(i), found[number, i] or {}) for i in range(p.request.seeds)]
        for number, p in enumerate(plans)
    ]
    for seeds in done:
        if told := beside_nulls([one.record for one in seeds], seeds[0].folder.parent):
            reporter.remark(f"{seeds[0].record['recipe']}: {told}")
    return done


def _remark(one: Trained, reporter: Reporter) -> None:
    record = one.record
    words = "learnt" if one.learnt else "not learnt" if one.learnt is False else "no verdict"
    text = (
        f"{one.folder.name}: {words}: {record['verdict']}; ‖ΔW‖/‖W‖ {record['change']:.2g}, "
        f"{record['cpu_seconds']:.0f} CPU s"
    )
    (reporter.warn if one.learnt is False else reporter.remark)(text)


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
        hf = frozen_base(plan.base, request.device, reporter)
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

    def turned(self, plan: Plan, reporter: Reporter) -> Session:
        """The same model for another plan; loaded anew where that begins otherwise."""
        mine, asked = self.plan, plan.request
        before = (mine.data.hash, mine.request.adapter, mine.request.device)
        if before != (plan.data.hash, asked.adapter, asked.device):
            return Session.open(plan, reporter)
        sites, runner = self.sites, self.runner
        if plan.components and plan.components != mine.components:
            sites = sites_of(self.hf, plan.components)
            runner = self.runner.beginning(sites.first)
        with _start_of_training(plan, self.hf):
            targets = _targets(plan, runner)
        return replace(self, plan=plan, sites=sites, runner=runner, targets=targets)

    def seed(self, seed: int, reporter: Reporter) -> dict[str, Any]:
        """Train one seed and write its folder; returns its record."""
        plan, request, began = self.plan, self.plan.request, time.process_time()
        work = self._sampled if request.trainer == "trl" else self._exact
        with (
            self._adapter(seed) as tuned,
            reporter.progress(request.n_steps, plan.folder(seed).name, unit="step") as bar,
        ):
            log = work(tuned, seed, lambda: bar.advance(1))
            round_to_bfloat16(tuned)
            own = answers(self.runner, plan.data.held_out)
            rows = table(self.base, own, self.targets)
            outcome = verdict(request.recipe.name, rows, self.base, own, self.targets)
            record = self._record(seed, rows, outcome, change_of(tuned))
            record["cpu_seconds"] = time.process_time() - began
            write_seed(plan.folder(seed), tuned, record, log)
        return record

    def _exact(self, tuned: Any, seed: int, after_step: Callable[[], None]) -> Log:
        """All answers scored at every step."""
        data, request = self.plan.data.train, self.plan.request
        order = visits(data, request.n_steps, request.groups, seed)
        goal = self._goal(seed, order)
        parameters = parameters_of(tuned)
        return run_steps(self.runner, parameters, data, order, goal, request.rate, after_step)

    def _sampled(self, tuned: Any, seed: int, after_step: Callable[[], None]) -> Log:
        """Answers sampled and rewarded."""
        data, request = self.plan.data.train, self.plan.request
        tokenizer = load_tokenizer(self.plan.base)
        rows = questions(game_texts(data), tokenizer)
        asked = replace(request, tokens=request.tokens or longest_label(data))
        reward = GameReward(self.plan.rewards)
        return run_grpo(tuned, tokenizer, rows, reward, asked, seed, after_step)

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


def _targets(plan: Plan, runner: Runner) -> Targets:
    request = plan.request
    from_base = request.reference == "base" or request.trainer == "trl"
    if not from_base or not plan.rewards:
        return targets_of(plan.rewards, request.beta)
    found = answers(runner, plan.data.train)
    mean = float(found.p.mean())
    return targets_of(plan.rewards, request.beta, dict(zip(MOVES, (mean, 1 - mean), strict=True)))
