"""Was a recipe learnt? On held-out wordings that nobody chose settings by.

The study's file has 6 of 18 wordings that are held out of training, and settings were chosen while
looking at decisions on them. The other 12 are asked here, of every adapter in a folder, with the
rule of ``train``. Prints CSV, one row an adapter and state.

    python benchmarks/fresh_wordings.py MODEL ADAPTERS examples/smollm2/prompts.jsonl
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from circuitgraph.base.progress import Reporter
from circuitgraph.games.prompts import HELD_OUT
from circuitgraph.models.tasks import make_game_prompts
from circuitgraph.prompts import PromptSet, read_prompts
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.training.adapter import continued, frozen_base, trained_from
from circuitgraph.training.goals import targets_of
from circuitgraph.training.heldout import answers, table, verdict
from circuitgraph.training.runner import Runner
from circuitgraph.training.sites import layers_of
from circuitgraph.training.texts import Group, training_data

WORDINGS = 72
COLUMNS = ("adapter", "learnt", "state", "n", "base", "p", "low", "high", "target", "legal")


def fresh_groups(model: Path, known: Path) -> tuple[Group, ...]:
    """Groups of four states in held-out wordings that a prompt file lacks."""
    every = make_game_prompts("ipd", model, wordings=WORDINGS, chat=True)
    seen = {p.template for p in read_prompts(known)}
    kept = tuple(p for p in every if p.split != HELD_OUT or p.template not in seen)
    return tuple(training_data(PromptSet(kept, every.source), load_tokenizer(model)).held_out)


def main() -> None:
    """Ask every adapter."""
    model, folder, known = map(Path, sys.argv[1:4])
    groups = fresh_groups(model, known)
    hf = frozen_base(model, "cpu", Reporter())
    adapters = sorted(path.parent for path in folder.glob("*/train.json"))
    runner = Runner(hf, layers_of(hf)[1], min(trained_from(hf, one) for one in adapters))
    runner.check(groups)
    base = answers(runner, groups)
    writer = csv.DictWriter(sys.stdout, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    for adapter in adapters:
        record = json.loads((adapter / "train.json").read_text("utf-8"))
        targets = targets_of(record["rewards"], record["beta"])
        with continued(hf, adapter, model.name):
            own = answers(runner, groups)
        rows = table(base, own, targets)
        told = verdict(record["recipe"], rows, base, own, targets)
        learnt = {True: "yes", False: "no", None: "null"}[told.learnt]
        for row in rows:
            writer.writerow(row | {"adapter": adapter.name, "learnt": learnt})
        sys.stdout.flush()


if __name__ == "__main__":
    main()
