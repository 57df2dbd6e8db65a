"""The day of a chat template, one for all variants on a prompt set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from circuitgraph.base.errors import UsageError
from circuitgraph.ingest.jobs import Job, plan
from circuitgraph.ingest.request import Request
from circuitgraph.models.variants import LoadedVariant
from circuitgraph.prompts import PromptSet
from circuitgraph.prompts.template import Moment
from circuitgraph.runs.conventions import read_day, settle_day


def planned(
    loaded: LoadedVariant, prompts: PromptSet, request: Request, runs_folder: Path
) -> list[Job]:
    """The runs of one ingest, with the day recorded for these prompts.

    Nothing is written yet: an ingest that is refused settles nothing (see ``settle``).

    Raises
    ------
    InputError
        A prompt that cannot be used.
    UsageError
        The request does not fit the prompts, or another day is recorded.
    """
    asked = None if request.template_date is None else Moment.of(request.template_date)
    if not request.chat_template:
        if asked is not None:
            raise UsageError("``template_date`` needs ``chat_template``: nothing else tells a date")
        return plan(loaded, prompts, request)
    known = read_day(runs_folder, prompts.fingerprint("effect"))
    jobs = plan(loaded, prompts, request, asked or known or Moment.today())
    if asked is None or known in (None, asked) or not has_date(jobs):
        return jobs
    before = plan(loaded, prompts, request, known)
    if [job.id for job in before] == [job.id for job in jobs]:
        return before
    if asked.day == known.day and not has_date(before):  # only a day that is named is told
        return jobs
    recorded = known.day if asked.day != known.day else f"{known.day} by the template's clock alone"
    raise UsageError(
        f"``template_date={asked.day}``: in this workspace these prompts are told {recorded}, "
        "and runs with other tokens are never compared; leave the option out, or use another "
        "workspace"
    )


def settle(jobs: Sequence[Job], runs_folder: Path) -> None:
    """Record the day of these runs, for those of other variants.

    Raises
    ------
    UsageError
        Another ingest has recorded another one in the meantime.
    """
    moment = Moment.of_run(jobs[0].rendered)
    if moment is not None:
        settle_day(runs_folder, jobs[0].prompt_set, moment)


def has_date(jobs: Sequence[Job]) -> bool:
    """Whether the rendered template depends on the day."""
    return bool(jobs[0].rendered.get("date"))
