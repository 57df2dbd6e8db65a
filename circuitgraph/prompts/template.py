"""Chat templates rendered for a fixed day, so that prompts do not depend on today's date.

A template is a program and may ask for the time (``strftime_now``): Llama 3.2 and Granite put
today's date before the user's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from circuitgraph.base.errors import InputError, UsageError, quoted

CLOCK = "strftime_now"
"""What transformers calls the one function by which templates ask for the time."""
_PROBES = (datetime(1999, 8, 7, 6, 54, 32), datetime(1988, 11, 23, 17, 38, 49))
"""Two moments of nothing in common: a template may show one part of the date, as another has it."""


@dataclass(frozen=True)
class Moment:
    """The day at whose midnight a template is rendered.

    ``given`` days were named by the user; templates with a fixed ``date_string`` of their own get
    them too.
    """

    day: str
    given: bool = False

    @classmethod
    def today(cls) -> Moment:
        """Today, in UTC."""
        return cls(datetime.now(UTC).date().isoformat())

    @classmethod
    def of(cls, text: str) -> Moment:
        """A day named by the user; ``UsageError`` where there is none such."""
        try:
            return cls(datetime.strptime(text, "%Y-%m-%d").date().isoformat(), given=True)
        except ValueError:
            raise UsageError(
                f"``template_date={quoted(text, 40)}``: give a day as YYYY-MM-DD, such as "
                "2026-01-31"
            ) from None

    @classmethod
    def of_run(cls, rendered: Mapping[str, str]) -> Moment | None:
        """The day of a stored run's template; None where it uses none."""
        day = rendered.get("date", "")
        return cls(day, bool(rendered.get("date_string"))) if day else None

    @property
    def date_string(self) -> str:
        """The day as templates write it, "" where the user named none."""
        return self.time.strftime("%d %b %Y") if self.given else ""

    @property
    def variables(self) -> dict[str, str]:
        """Variables of the template that hold the day."""
        return {"date_string": self.date_string} if self.given else {}

    @property
    def time(self) -> datetime:
        return datetime.fromisoformat(self.day)


def render(tokenizer: Any, text: str, moment: Moment) -> str:
    """A text as one user turn, ready for the reply; ``InputError`` where the template fails."""
    return _rendered(tokenizer, text, moment.time, moment.variables)


def instructed(tokenizer: Any, instruction: str, text: str, moment: Moment) -> str:
    """A text as one user turn after an instruction, where the template has a system turn.

    Raises
    ------
    InputError
        The template fails.
    """
    try:
        found = _rendered(tokenizer, text, moment.time, moment.variables, instruction)
    except InputError:
        return render(tokenizer, text, moment)
    return found if instruction in found and text in found else render(tokenizer, text, moment)


def tells_the_time(tokenizer: Any, text: str, moment: Moment) -> bool:
    """Whether the rendered template depends on the day."""
    now = render(tokenizer, text, moment)
    return any(now != _rendered(tokenizer, text, probe, {}) for probe in _PROBES)


def _rendered(
    tokenizer: Any, text: str, time: datetime, date: dict[str, str], instruction: str = ""
) -> str:
    turn = [{"role": "system", "content": instruction}] if instruction else []
    turn.append({"role": "user", "content": text})
    try:
        template = tokenizer.get_chat_template()
        if CLOCK not in template:
            return tokenizer.apply_chat_template(
                turn, tokenize=False, add_generation_prompt=True, **date
            )
        return _stopped(template, time).render(
            messages=turn,
            tools=None,
            documents=None,
            add_generation_prompt=True,
            **{**tokenizer.special_tokens_map, **date},
        )
    except Exception as error:  # templates are programs of their own and fail in their own way
        said = " ".join(str(error).split())[:200]
        raise InputError(f"``chat_template``: this tokenizer's template fails ({said})") from error


def _stopped(template: str, time: datetime) -> Any:
    """The template with a fixed clock.

    The library replaces functions among a template's variables by placeholders, so the clock cannot
    be passed there. Globals of one template override those of the library's sandbox for it only.
    """
    from transformers.utils.chat_template_utils import _compile_jinja_template

    sandbox = _compile_jinja_template(template).environment
    return sandbox.from_string(template, globals={CLOCK: time.strftime})
