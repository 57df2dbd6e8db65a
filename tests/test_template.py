"""A template that tells the time is told one moment, and tokens make prompts the same."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import make_tokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from circuitgraph.base.errors import UsageError
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.template import Moment, render, tells_the_time
from circuitgraph.prompts.tokens import encode

PLAIN = "{% for m in messages %}{{ bos_token }}w4 {{ m['content'] | trim }} w5{% endfor %}"
CLOCK = "{{ strftime_now('%d %b %Y %S') }} {{ messages[0]['content'] }}"
LLAMA = (
    "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}"
    "{{ date_string }} {{ messages[0]['content'] }}"
)
DAY = Moment("2026-01-31")


def tokenizer_with(template):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def test_a_template_is_told_midnight_of_the_day_and_nothing_else_changes():
    tokenizer = tokenizer_with(CLOCK)
    assert render(tokenizer, "w7", DAY) == "31 Jan 2026 00 w7"
    assert tells_the_time(tokenizer, "w7", DAY)
    free = tokenizer.apply_chat_template([{"role": "user", "content": "w7"}], tokenize=False)
    assert str(datetime.now().year) in free
    assert "31 Jan 2026" not in free


def test_a_template_that_shows_a_part_of_the_date_tells_the_time_on_every_day():
    tokenizer = tokenizer_with("{{ strftime_now('%d') }} {{ messages[0]['content'] }}")
    days = [Moment(f"2026-08-{day:02d}") for day in range(1, 32)]
    assert all(tells_the_time(tokenizer, "w7", day) for day in days)


def test_a_fixed_date_of_the_templates_own_stays_unless_the_user_names_a_day():
    tokenizer = tokenizer_with(LLAMA)
    assert render(tokenizer, "w7", DAY) == "26 Jul 2024 w7"
    assert not tells_the_time(tokenizer, "w7", DAY)
    named = Moment.of("2026-01-31")
    assert render(tokenizer, "w7", named) == "31 Jan 2026 w7"
    assert tells_the_time(tokenizer, "w7", named)


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_with_the_clock_stopped_a_template_renders_as_the_library_renders_it(text):
    turn = [{"role": "user", "content": text}]
    tokenizer = tokenizer_with(PLAIN + "{# strftime_now #}")
    [expected], _ = render_jinja_template(
        [turn], chat_template=PLAIN, add_generation_prompt=True, bos_token=tokenizer.bos_token
    )
    assert render(tokenizer, text, DAY) == expected
    assert render(tokenizer_with(PLAIN), text, DAY) == expected


@pytest.mark.parametrize("text", ["31.1.2026", "2026-02-30", "today", ""])
def test_what_is_no_day_is_refused(text):
    with pytest.raises(UsageError, match="``template_date=.*YYYY-MM-DD"):
        Moment.of(text)


def test_the_rendered_prompt_and_the_day_it_tells_are_kept():
    prompts = PromptSet((Prompt("w7", "s"),), "file.jsonl")
    told = encode(prompts, tokenizer_with(CLOCK), chat_template=True, moment=DAY).rendered
    assert told == {"example": "31 Jan 2026 00 w7", "date": "2026-01-31", "date_string": ""}
    plain = encode(prompts, tokenizer_with(PLAIN), chat_template=True, moment=DAY).rendered
    assert (plain["example"], plain["date"]) == ("<bos>w4 w7 w5", "")
    assert Moment.of_run(told) == DAY
    assert Moment.of_run(plain) is None
