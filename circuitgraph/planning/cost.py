"""Cost of measuring a model, from its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from circuitgraph.base.errors import InputError, UsageError, first_line
from circuitgraph.engine.families.rotary import longest
from circuitgraph.engine.receivers import first_components
from circuitgraph.ingest.estimate import (
    AFFORDABLE,
    affordable,
    number_of_edges,
    operations,
    rate_here,
)
from circuitgraph.ingest.shape import Shape
from circuitgraph.models.multimodal import loading_part
from circuitgraph.models.variants import model_folder
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.prompts.tokens import Encoded, encode
from circuitgraph.runs.record import Method

FLOAT = 4


@dataclass(frozen=True)
class Cost:
    """Cost of one run.

    Attributes
    ----------
    columns
        Edges, or components.
    estimator
        Of effects; "" for correlations.
    seconds, size
        For one prompt, on this machine as it is now; bytes on disk.
    """

    columns: int
    estimator: str
    seconds: float
    size: float


def costs(
    model: str, prompts: PromptSet | None, number: int, tokens: int, inputs: str
) -> dict[str, Cost]:
    """Cost of a variant's runs by kind.

    Parameters
    ----------
    model
        A folder (or hub name).
    prompts
        As read; None for prompts of ``tokens`` tokens.
    number
        How many there will be: decides whether exact effects are affordable.
    tokens
        Of a prompt, all of which patching changes.
    inputs
        ``joint`` or ``split``.

    Raises
    ------
    InputError, UsageError
        A model that cannot be read, or prompts too long for it.
    """
    folder = model_folder(model)
    shape, limit = shape_of(folder)
    if prompts is not None:
        encoded: Sequence[Encoded] = encode(
            prompts, load_tokenizer(folder), max_positions=limit
        ).prompts
    elif tokens > limit:
        raise UsageError(f"``tokens={tokens}``: {folder} runs {limit} at most")
    else:
        blank = Prompt("", "", line=1)
        encoded = (Encoded((0,) * tokens, (1,) * tokens, (0,), (1,), blank),)  # corrupt throughout
    rate = rate_here(shape)
    effect = Method("effect", estimator="exact", inputs=inputs, ablation="corrupt")
    most = AFFORDABLE * len(encoded) / number
    effect = replace(effect, estimator=affordable(shape, effect, encoded, most))
    found = {}
    for method in (Method("correlation", activity="norm"), effect):
        columns = _columns(shape, method)
        seconds = operations(shape, method, encoded) / len(encoded) / rate
        found[method.kind] = Cost(columns, method.estimator, seconds, FLOAT * columns)
    return found


def _columns(shape: Shape, method: Method) -> int:
    if method.kind == "effect":
        return number_of_edges(shape, method)
    return first_components(shape, method.spec.granularity)[-1] - 1


def shape_of(folder: Path) -> tuple[Shape, int]:
    """Sizes of a model from its configuration, and its longest sequence."""
    try:
        config = loading_part(folder).get("config") or AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        with torch.device("meta"):
            hf = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception as error:  # config.json is anybody's, and errors of every kind come of it
        raise InputError(f"{folder}: cannot be read ({first_line(error)})") from error
    return Shape.of(hf), longest(config)
