"""One day for all variants that are asked a prompt set, written down when a run tells it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from models import make_model

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.base.progress import Reporter
from circuitgraph.ingest.jobs import planned, settle
from circuitgraph.ingest.models import ingest_model
from circuitgraph.ingest.request import Request
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.template import Moment
from circuitgraph.runs.conventions import read_day, settle_day

FIXED = "{{ messages[0]['content'] }} w5"
DAYS = "{{ strftime_now('w%d w%m') }} {{ messages[0]['content'] }}"
NAMED = (
    "{% if not date_string is defined %}{% set date_string = 'w26 Jul 2024' %}{% endif %}"
    "w{{ date_string }} {{ messages[0]['content'] }}"
)
BOTH = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('w%d') %}{% endif %}"
    "w{{ date_string }} {{ messages[0]['content'] }}"
)
PROMPTS = PromptSet((Prompt("w6 w7", "s", line=2), Prompt("w8 w9", "t", line=3)), "file.jsonl")
KEY = PROMPTS.fingerprint("effect")
NAME_OF_DAY = "2031-12-13"
"""Its day and month are words of the tokenizer, and other words than on any other day."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load_variant(make_model("llama", tmp_path_factory.mktemp("model") / "base"), name="m")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def told(loaded, folder):
    """Plan, settle as an ingest does, and give back what the template said of the first prompt."""

    def tell(template: str, day: str | None = None) -> str:
        request = Request(chat_template=True, template_date=day)
        jobs = planned(with_template(loaded, template), PROMPTS, request, folder)
        settle(jobs, folder)
        return jobs[0].rendered["example"]

    return tell


def with_template(loaded, template: str):
    loaded.tokenizer.chat_template = template
    return loaded


def test_a_template_without_a_date_settles_none(told, folder):
    assert told(FIXED) == told(FIXED, "2031-01-02") == "w6 w7 w5"
    assert told(NAMED) == "ww26 Jul 2024 w6 w7"
    assert read_day(folder, KEY) is None
    assert told(DAYS, NAME_OF_DAY) == "w13 w12 w6 w7"  # not refused for what nobody was told
    assert told(DAYS) == "w13 w12 w6 w7"
    assert told(FIXED, "2031-01-02") == "w6 w7 w5"


def test_another_day_is_refused_where_it_makes_other_tokens(told, folder):
    assert told(DAYS, NAME_OF_DAY) == "w13 w12 w6 w7"
    with pytest.raises(
        UsageError, match=f"``template_date=2031-11-13``: in this .* are told {NAME_OF_DAY},"
    ):
        told(DAYS, "2031-11-13")
    assert told(DAYS, "2032-12-13") == "w13 w12 w6 w7"  # the template shows no year
    assert read_day(folder, KEY) == Moment.of(NAME_OF_DAY)


def test_a_day_that_is_named_later_is_told_where_only_a_named_one_is(told, folder):
    settle_day(folder, KEY, Moment(NAME_OF_DAY))  # of an ingest on that day
    assert told(NAMED) == "ww26 Jul 2024 w6 w7"
    assert told(NAMED, NAME_OF_DAY) == "w13 Dec 2031 w6 w7"
    assert told(NAMED) == "w13 Dec 2031 w6 w7"  # and so is every variant from then on
    assert told(DAYS) == "w13 w12 w6 w7"


def test_a_name_that_changes_how_the_clock_is_read_is_refused(told, folder):
    settle_day(folder, KEY, Moment(NAME_OF_DAY))
    assert told(BOTH) == "ww13 w6 w7"
    with pytest.raises(UsageError, match=f"are told {NAME_OF_DAY} by the template's clock alone"):
        told(BOTH, NAME_OF_DAY)
    assert told(DAYS, NAME_OF_DAY) == "w13 w12 w6 w7"
    assert read_day(folder, KEY) == Moment(NAME_OF_DAY)


def test_a_refused_ingest_settles_no_day_and_one_that_goes_on_does(loaded, folder):
    request = Request(chat_template=True, template_date=NAME_OF_DAY)
    clock = with_template(loaded, DAYS)
    long = replace(PROMPTS, prompts=(*PROMPTS, Prompt("w5 " * 70, "s", line=4)))
    with pytest.raises(InputError, match="the model can take 64"):
        ingest_model(clock, long, request, folder, Reporter())
    with pytest.raises(UsageError, match="``memory``"):
        ingest_model(clock, PROMPTS, replace(request, memory=1.0), folder, Reporter())
    assert not list(folder.parent.rglob("*.json"))
    [run] = ingest_model(clock, PROMPTS, request, folder, Reporter())
    record = json.loads((folder.parent / "prompts" / f"{KEY}.json").read_text())
    assert record == {"day": NAME_OF_DAY, "day_given": True}
    assert run.prompt_set == KEY


def test_a_day_that_no_template_tells_is_said_to_be_lost(loaded, folder, capsys):
    request = Request(chat_template=True, template_date=NAME_OF_DAY)
    ingest_model(with_template(loaded, FIXED), PROMPTS, request, folder, Reporter())
    assert "``template_date``: this chat template tells no date" in capsys.readouterr().err


def test_of_two_ingests_at_once_the_later_is_told_to_run_again(loaded, folder):
    clock = with_template(loaded, DAYS)
    first, second = (
        planned(clock, PROMPTS, Request(chat_template=True, template_date=day), folder)
        for day in (NAME_OF_DAY, "2031-11-13")
    )
    settle(first, folder)
    with pytest.raises(UsageError, match=f"told these prompts {NAME_OF_DAY} while .*run this one"):
        settle(second, folder)
    assert read_day(folder, KEY) == Moment.of(NAME_OF_DAY)
