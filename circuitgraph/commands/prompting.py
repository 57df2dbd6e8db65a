"""Commands about prompts: prompts check, prompts make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from circuitgraph.base.errors import InputError
from circuitgraph.commands.options import global_options, prose, settings
from circuitgraph.prompts import read_prompts
from circuitgraph.prompts.report import check_text
from circuitgraph.prompts.tasks import TASKS

EXISTING = click.Path(path_type=Path)


@click.group(no_args_is_help=False)
@global_options
def prompts() -> None:
    """Look at a prompt file before spending hours on it, or make one.

    \b
    Example:
      circuitgraph prompts check prompts.jsonl --model ./base
    """


@prompts.command("check")
@click.argument("file", type=EXISTING)
@click.option("--model", help="Also check against this model and its tokenizer.")
@click.option("--chat-template", is_flag=True, help="Wrap each prompt as one user turn.")
@click.option("--template-date", metavar="DAY", help="The day that its template is told.")
@global_options
def check(file: Path, model: str | None, chat_template: bool, template_date: str | None) -> None:
    """What these prompts can show, and what is wrong with them.

    \b
    Example:
      circuitgraph prompts check prompts.jsonl --model ./base
    """
    if model is None:
        # Words alone need no torch, which takes seconds to load.
        text = check_text(read_prompts(file))
        _report({"text": text.to_dict(), "model": None, "problems": []}, text.lines())
        return
    from circuitgraph.ingest.check import check_prompts

    report = check_prompts(file, model, chat_template=chat_template, template_date=template_date)
    _report(report.to_dict(), report.lines())
    if report.problems:
        raise InputError(f"{file}: effects cannot be measured with these prompts (PROBLEM, above)")


def _report(record: dict[str, Any], lines: list[str]) -> None:
    if settings().as_json:
        click.echo(json.dumps(record, indent=1))
        return
    prose(lines)


@prompts.command("make")
@click.argument("task", type=click.Choice(list(TASKS)))
@click.option("--model", required=True, help="Whose tokenizer will read them.")
@click.option("--n", type=click.IntRange(1), default=200, show_default=True, help="Prompts.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draws.")
@click.option(
    "--output", "-o", type=EXISTING, required=True, help="The file: JSONL, in parts of scenarios."
)
@global_options
def make(task: str, model: str, n: int, seed: int, output: Path) -> None:
    """Write prompts of a task that circuits are studied on.

    Every prompt has a corrupt twin of as many tokens for this model's tokenizer, answers,
    a scenario, a wording and a direction; docs/prompts.md says what each task asks.

    \b
    Example:
      circuitgraph prompts make ioi --model ./base -o ioi.jsonl
    """
    from circuitgraph.models.tasks import make_prompts
    from circuitgraph.prompts.written import require_jsonl, write_prompts

    require_jsonl(output)
    found = make_prompts(task, model, n=n, seed=seed)
    write_prompts(found, output)
    settings().reporter.remark(
        f"{len(found)} prompts in {len(found.scenarios)} scenarios written to {output}"
    )


COMMANDS = (prompts,)
