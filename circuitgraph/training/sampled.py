"""Train variants by a reward function of one's own, which scores sampled completions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from circuitgraph.base.components import digest
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.base.progress import Reporter
from circuitgraph.games.prompts import HELD_OUT
from circuitgraph.ingest.compute import library_versions
from circuitgraph.models.architectures import require_decoder, sizes_of
from circuitgraph.models.variants import fingerprints, model_folder
from circuitgraph.prompts.reader import Source, read_prompts
from circuitgraph.prompts.record import Prompt, PromptSet
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.prompts.tokens import encode
from circuitgraph.stats.margins import mean_interval
from circuitgraph.training.adapter import change_of, fresh, frozen_base, round_to_bfloat16
from circuitgraph.training.grpo import questions, require_trl, run_grpo
from circuitgraph.training.plan import config_of, require_folder
from circuitgraph.training.request import TrainRequest, done_before, key_of
from circuitgraph.training.rewarded import function_of
from circuitgraph.training.sites import components_named, sites_of
from circuitgraph.training.texts import ONE_IN
from circuitgraph.training.written import Trained, write_seed

TOKENS = 64
"""Of a completion at most, where none is asked for."""
MOST = 64
"""Held-out prompts that are tested."""
FEWEST = 5
"""Held-out prompts that a verdict needs."""
NOT_COLUMNS = ("prompt", "line")

Rows = list[Mapping[str, Any]]


@dataclass(frozen=True)
class Course:
    """All that one seed after another is trained with.

    Attributes
    ----------
    hf, tokenizer
        The base.
    reward
        Scores completions.
    request
        All options, ``tokens`` filled in.
    train, held_out
        Prompts as the library takes them, and those that are tested.
    """

    hf: Any
    tokenizer: Any
    reward: Callable[..., list[float]]
    request: TrainRequest
    train: Rows
    held_out: Rows

    @torch.no_grad()
    def rewards(self, seed: int) -> np.ndarray:
        """Mean reward of each held-out prompt over sampled completions [prompts]."""
        found = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for row in self.held_out:
                ids = torch.tensor([self.tokenizer(row["prompt"])["input_ids"]])
                found.append(float(np.mean(self._scores(row, ids.to(self.request.device)))))
        return np.array(found)

    def _scores(self, row: Mapping[str, Any], ids: torch.Tensor) -> list[float]:
        count = self.request.samples
        out = self.hf.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=1.0,
            top_k=0, top_p=1.0, repetition_penalty=1.0, num_return_sequences=count,
            max_new_tokens=self.request.tokens, pad_token_id=self.tokenizer.pad_token_id,
        )[:, ids.shape[1] :].tolist()  # fmt: skip
        texts = self.tokenizer.batch_decode(out, skip_special_tokens=True)
        columns = {name: [value] * count for name, value in row.items() if name != "prompt"}
        return self.reward(
            prompts=[row["prompt"]] * count, completions=texts, completion_ids=out, **columns
        )


def train_by_function(
    model: str | os.PathLike[str],
    prompts: Source,
    out: Path,
    request: TrainRequest,
    reporter: Reporter,
) -> list[Trained]:
    """Train every seed that is not finished yet, by sampled completions (GRPO).

    Learnt: the mean reward on held-out prompts rose, by a paired 95% t-interval over prompts.

    Parameters
    ----------
    model, prompts, out, request, reporter
        As for ``training.train.train``; prompts need no answers, and every column that is read is
        given to the reward function.

    Raises
    ------
    InputError, UsageError
        Before the model is loaded where possible.
    """
    require_trl()
    request = replace(request, tokens=request.tokens or TOKENS)
    if request.adapter is not None:
        raise UsageError("``adapter``: a reward function trains a new adapter; leave it out")
    reward, folder = function_of(request.recipe), model_folder(Path(model), reporter)
    require_decoder(folder)
    require_folder(out)
    config = config_of(folder)
    components = components_named(request.components, request.layers, sizes_of(config, folder)[0])
    asked, tokenizer = read_prompts(prompts), load_tokenizer(folder)
    parts = [_rows(part, asked.source, tokenizer, config.vocab_size) for part in _split(asked)]
    print_ = fingerprints(Path(model), None, folder)["weights"]
    told = request.record() | {"components": tuple(components)}
    keys = [key_of(told, digest("data", *parts), print_, seed) for seed in range(request.seeds)]
    folders = [out / f"{request.recipe.name}-{seed}" for seed in range(request.seeds)]
    found = [done_before(*pair) for pair in zip(folders, keys, strict=True)]
    course: Course | None = None
    for seed, place in enumerate(folders):
        if found[seed] is not None:
            continue
        if course is None:
            hf = frozen_base(folder, request.device, reporter)
            course = Course(hf, tokenizer, reward, request, *parts)
        known = {"key": keys[seed], "seed": seed, **told, "base": print_}
        found[seed] = _trained(course, components, place, known, reporter)
    return [Trained(*pair) for pair in zip(folders, map(dict, filter(None, found)), strict=True)]


def _split(asked: PromptSet) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts to train on and held-out ones: those marked, else every fourth."""
    each = list(dict.fromkeys(asked.prompts))
    held = [p for p in each if p.split == HELD_OUT] or each[ONE_IN - 1 :: ONE_IN]
    tested = set(held)
    train = [p for p in each if p not in tested]
    if not train or not held:
        raise InputError(f"{asked.source}: give prompts to train on and some of split {HELD_OUT}")
    return train, held[:MOST]


def _rows(each: Sequence[Prompt], source: str, tokenizer: Any, known: int) -> Rows:
    encoded = encode(PromptSet(tuple(each), source), tokenizer, rows=known).prompts
    texts = [
        (row.prompt, {k: v for k, v in asdict(row.source).items() if k not in NOT_COLUMNS})
        for row in encoded
    ]
    return questions(texts, tokenizer)


def _trained(
    course: Course, components: Sequence[str], place: Path, known: Mapping[str, Any],
    reporter: Reporter,
) -> dict[str, Any]:  # fmt: skip
    began, request, seed = time.process_time(), course.request, int(known["seed"])
    sites = sites_of(course.hf, components)
    before = course.rewards(seed)
    with (
        fresh(course.hf, sites, request.rank, seed, place.name) as tuned,
        reporter.progress(request.n_steps, place.name, unit="step") as bar,
    ):
        log = run_grpo(
            tuned, course.tokenizer, course.train, course.reward, request, seed,
            lambda: bar.advance(1),
        )  # fmt: skip
        round_to_bfloat16(tuned)
        row, words = _judged(before, course.rewards(seed))
        record = {
            **known, "versions": library_versions(), "held_out": [row], "learnt": row["learnt"],
            "verdict": words, "change": change_of(tuned),
            "cpu_seconds": time.process_time() - began,
        }  # fmt: skip
        write_seed(place, tuned, record, log)
    say = reporter.warn if row["learnt"] is False else reporter.remark
    say(f"{place.name}: {words}; {record['cpu_seconds']:.0f} CPU s")
    return record


def _judged(before: np.ndarray, after: np.ndarray) -> tuple[dict[str, Any], str]:
    """Mean rewards, the interval of the gain, and the verdict in words."""
    gain, low, high = mean_interval(after - before, (-np.inf, np.inf))
    learnt = None if len(after) < FEWEST else bool(low > 0)
    alone = len(after) < 2  # no interval
    row = {
        "n": len(after), "base": float(before.mean()), "reward": float(after.mean()), "gain": gain,
        "low": None if alone else low, "high": None if alone else high, "learnt": learnt,
    }  # fmt: skip
    told = f"mean reward {row['base']:.3g} to {row['reward']:.3g} on {len(after)} held-out prompts"
    if learnt is None:
        return row, f"no verdict: {told}, too few"
    return row, f"{'learnt' if learnt else 'not learnt'}: {told}, gain {low:.3g} to {high:.3g}"
