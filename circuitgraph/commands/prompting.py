"""Commands about prompts: prompts check, prompts make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.commands.options import global_options, prose, remark, settings
from circuitgraph.prompts import PromptSet, read_prompts
from circuitgraph.prompts.report import check_text
from circuitgraph.prompts.tasks import TASKS

EXISTING = click.Path(path_type=Path)
GAME = "game"


@click.group(no_args_is_help=False)
@global_options
def prompts() -> None:
    """Check a prompt file before a long ingest, or make one.

    \b
    Example:
      circuitgraph prompts check prompts.jsonl --model ./base
    """


@prompts.command("check")
@click.argument("file", type=EXISTING)
@click.option("--model", help="Also check against this model and its tokenizer.")
@click.option("--chat-template", is_flag=True, help="Wrap each prompt as one user turn.")
@click.option("--template-date", metavar="DAY", help="The day (YYYY-MM-DD) in its chat template.")
@global_options
def check(file: Path, model: str | None, chat_template: bool, template_date: str | None) -> None:
    """Power of these prompts, and problems with them.

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
@click.argument("task", type=click.Choice([*TASKS, GAME]))
@click.option("--model", required=True, help="Model folder with the tokenizer.")
@click.option("--n", type=click.IntRange(1), help="Number of prompts of a task [default: 200].")
@click.option("--seed", type=int, help="Of a task's random choices [default: 0].")
@click.option("--game", "games", metavar="NAMES", help="ipd,ish,…, all, or TOML [default: ipd].")
@click.option("--wordings", type=int, help="Wordings of games, five prompts each [default: 24].")
@click.option("--labels", metavar="A,B", help="Labels; the first cooperates [default: A,B].")
@click.option("--chat", is_flag=True, help="Games in the model's chat template.")
@click.option(
    "--output", "-o", type=EXISTING, required=True, help="The file: JSONL, in parts of scenarios."
)
@global_options
def make(task: str, model: str, output: Path, **options: Any) -> None:
    """Write prompts of a task from the circuits literature, or of repeated games.

    Every prompt has a corrupt twin of equal length in tokens, answers, a scenario, a wording
    and a direction; docs/prompts.md describes the tasks. Games (docs/lab.md) have one prompt
    per wording and state; some wordings are marked as held out.

    \b
    Example:
      circuitgraph prompts make ioi --model ./base -o ioi.jsonl
      circuitgraph prompts make game --game ipd,ish --model ./base --chat -o games.jsonl
    """
    from circuitgraph.prompts.written import require_jsonl, write_prompts

    require_jsonl(output)
    found = _made(task, model, {k: v for k, v in options.items() if v not in (None, False)})
    write_prompts(found, output)
    remark(f"{len(found)} prompts in {len(found.scenarios)} scenarios written to {output}")


def _made(task: str, model: str, given: dict[str, Any]) -> PromptSet:
    """Prompts of a task or of games, whose options are not the other's."""
    others = {"n", "seed"} if task == GAME else {"games", "wordings", "labels", "chat"}
    odd = sorted(others & set(given))
    if odd:
        flag = "game" if odd[0] == "games" else odd[0]
        raise UsageError(f"--{flag} is no option of prompts make {task}; leave it out")
    from circuitgraph.models.tasks import make_game_prompts, make_prompts

    if task != GAME:
        return make_prompts(task, model, **given)
    if "labels" in given:
        given["labels"] = given["labels"].split(",")
    return make_game_prompts(given.pop("games", "ipd"), model, **given)


COMMANDS = (prompts,)
