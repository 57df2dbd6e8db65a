"""The table of supported models, by asking a small random model of each family everything.

python tests/models_table.py    # writes docs/models.md anew
"""

from __future__ import annotations

import importlib
import pkgutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from models import CONFIGS, MIXTURES, MORE_READERS, PECULIAR, WITHOUT_READER, make_model

from circuitgraph.base.errors import UsageError
from circuitgraph.composition.products import virtual_products
from circuitgraph.engine import families
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import FAMILIES, has_reader, read_model, require_reader
from circuitgraph.engine.interface import ESTIMATORS, EffectSpec
from circuitgraph.engine.norms import require_heads_apart
from circuitgraph.engine.patch import make_patch
from circuitgraph.engine.receivers import edges_of
from circuitgraph.interventions.circuits.forward import circuit_decisions
from circuitgraph.lenses.mechanism.same import same_weights
from circuitgraph.lenses.mechanism.values import edge_ends
from circuitgraph.lenses.wiring.weights import WeightChannels
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts.tokens import Encoded

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
MODELS = CONFIGS | MORE_READERS | PECULIAR | MIXTURES | WITHOUT_READER
PROMPT = Encoded((1, 5, 9, 22, 7, 30), (1, 5, 9, 41, 7, 30), (8,), (19,), None)
BEGIN = "| model type | forward | estimators | circuits | composition | wiring | mechanism |"
YES, NO, LAYERS = "yes", "no", "by layers"

Question = Callable[[Any, Any], object]


def table() -> list[str]:
    """The rows, families with a reader first."""
    names = [*sorted(FAMILIES), *sorted(WITHOUT_READER)]
    return [BEGIN, "|" + " --- |" * (BEGIN.count("|") - 1), *map(_row, names)]


def readers() -> list[str]:
    """What is peculiar to each family with a reader, as its module says."""
    modules = [
        importlib.import_module(f"{families.__name__}.{found.name}")
        for found in pkgutil.iter_modules(families.__path__)
    ]
    said = {
        name: " ".join(module.__doc__.split())
        for name, read in FAMILIES.items()
        for module in modules
        if getattr(module, "read", None) is read
    }
    return [f"- `{name}`: {said[name]}" for name in sorted(said)]


def _row(name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_variant(make_model(name, Path(folder) / "model"))
        probe = torch.tensor([PROMPT.prompt])
        model: Any = read_model(loaded.merged(), loaded.tokenizer, folder, probe)
        estimators = [e for e in ESTIMATORS if _can(partial(_estimate, model, e))]
        cells = [
            f"`{name}`",
            "reader" if has_reader(name) else "hooks",
            "all" if len(estimators) == len(ESTIMATORS) else ", ".join(estimators),
            *(_asked(model, name, question) for question in (_circuits, _compose, _wiring, _swap)),
        ]
    return "| " + " | ".join(cells) + " |"


def _asked(model: Any, name: str, question: Question) -> str:
    if not _can(lambda: require_reader(name, "this")):
        return NO
    if _can(lambda: question(model, "head")):
        return YES
    return LAYERS if _can(lambda: question(model, "layer")) else NO


def _can(act: Callable[[], object]) -> bool:
    try:
        act()
    except UsageError:
        return False
    return True


def _estimate(model: Any, estimator: Any) -> None:
    effects = model.edge_effects(make_batch([PROMPT]), EffectSpec(estimator=estimator)).effects
    assert effects.abs().max() > 0


def _circuits(model: Any, granularity: Any) -> None:
    every = torch.ones(1, len(edges_of(model, granularity, "joint")), dtype=torch.bool)
    patch = make_patch(model, make_batch([PROMPT]), granularity)
    found = circuit_decisions(patch, every, granularity)
    assert torch.allclose(found[0], patch.base, atol=1e-3)


def _compose(model: Any, granularity: Any) -> None:
    if granularity == "layer":
        raise UsageError("composition is of heads")
    virtual_products(model, model)


def _wiring(model: Any, granularity: Any) -> None:
    WeightChannels.of(model, model, granularity, "joint")


def _swap(model: Any, granularity: Any) -> None:
    require_heads_apart(model, granularity, "mechanism")
    same_weights((model, model), edge_ends(model, granularity, "joint"))


def page() -> str:
    """The page with table and list made anew, and all else as it is."""
    lines = PAGE.read_text("utf-8").split("\n")
    lines = _replaced(lines, "|", table())
    return "\n".join(_replaced(lines, "- `", readers()))


def _replaced(lines: list[str], mark: str, made: list[str]) -> list[str]:
    """The lines that begin with a mark, and stand together, as others."""
    places = [i for i, line in enumerate(lines) if line.startswith(mark)]
    assert places == list(range(places[0], places[-1] + 1))
    return lines[: places[0]] + made + lines[places[-1] + 1 :]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
