"""With ``--ablation mean`` or ``zero`` nobody reads corrupt prompts: they make no prompts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from models import make_model

from circuitgraph.base.errors import InputError
from circuitgraph.ingest.jobs import Job, plan
from circuitgraph.ingest.request import Request
from circuitgraph.models.stored import reencoded
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.runs.comparable import differing_keys
from circuitgraph.workspace import Workspace

ASKED = [
    ("w5 w9 w22", "w8", "w19", "s"),
    ("w50 w9 w7", "w8", "w9", "s"),
    ("w6 w7", "w40", "w11", "t"),
    ("w6 w7 w33", "w40 w12", "w11 w13", "t"),
]


def asked(*corrupt: str | None) -> PromptSet:
    """Every prompt with each of these corrupt texts, as lines 2, 3, …"""
    rows = [(*row, last) for row in ASKED for last in corrupt]
    prompts = tuple(
        Prompt(
            prompt, scenario, last and f"{prompt[: prompt.rindex(' ')]} {last}", *answers, line=line
        )
        for line, (prompt, *answers, scenario, last) in enumerate(rows, start=2)
    )
    return PromptSet(prompts, "file.jsonl")


SIXTEEN, FOUR, BARE = asked("w43", "w44", "w45", "w46"), asked("w43"), asked(None)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_model("llama", tmp_path_factory.mktemp("model") / "base")


@pytest.fixture(scope="module")
def loaded(base):
    return load_variant(base, name="m")


def planned(loaded, prompts: PromptSet, **options) -> Job:
    [job] = plan(loaded, prompts, Request(kinds=("effect",), **options))
    return job


@pytest.mark.parametrize("ablation", ["mean", "zero"])
def test_four_prompts_with_four_corrupt_texts_each_are_four_prompts(loaded, ablation):
    job = planned(loaded, SIXTEEN, ablation=ablation)
    assert (len(job.prompts), job.duplicates, {p.pair for p in job.run_prompts}) == (4, 12, {None})
    for same in (FOUR, BARE, asked("w43 w44")):
        assert planned(loaded, same, ablation=ablation).id == job.id
    pairs = planned(loaded, SIXTEEN)
    assert (len(pairs.prompts), pairs.duplicates) == (16, 0)
    assert {p.corrupt for p in job.run_prompts} == {None}


def test_runs_keep_the_names_they_had(loaded):
    prints = planned(loaded, FOUR).fingerprint, planned(loaded, BARE, ablation="mean").fingerprint
    assert [one[:12] for one in prints] == ["af01f3126c09", "a48dcbfbf5dd"]


def test_every_prompt_has_one_row_of_effects_and_reads_again_as_it_was(base, loaded, tmp_path):
    runs = [
        Workspace(tmp_path / str(k)).ingest(
            base, name="m", prompts=texts, ablation="mean", edges=["effect"], load=False
        )[0]
        for k, texts in enumerate((SIXTEEN, BARE))
    ]
    assert runs[0].n == 4
    assert runs[0].effects.shape[0] == 4
    assert len(np.unique(runs[0].effects, axis=0)) == 4
    assert np.array_equal(runs[0].effects, runs[1].effects)
    assert [e.corrupt for e in reencoded(runs[0], loaded.tokenizer)] == [None] * 4
    other = replace(
        runs[0], method=replace(runs[0].method, ablation="corrupt"), prompts_fingerprint="pairs"
    )
    assert differing_keys(*(runs[0], other)) == ["ablation ('mean' and 'corrupt')"]


def test_copies_that_contradict_each_other_are_named(loaded):
    *most, last = SIXTEEN.prompts
    opposed = replace(SIXTEEN, prompts=(*most, replace(last, direction=1)))
    assert len(planned(loaded, opposed).prompts) == 16
    with pytest.raises(
        InputError,
        match=r"line 17: the same prompt as line 14 with another direction; .*"
        r"\(with ``ablation=zero`` the corrupt prompt is not read\)",
    ):
        planned(loaded, opposed, ablation="zero")
