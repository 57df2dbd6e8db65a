"""Model folders with quantised weights, dequantised on a CPU where a library can."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from circuitgraph.base.errors import InputError, first_line, quoted
from circuitgraph.base.textfiles import FLOATS, stored_kinds
from circuitgraph.models.architectures import settings_in

BITSANDBYTES = "bitsandbytes"


def quantisation_of(folder: Path) -> str:
    """Quantisation in ``config.json`` (``bitsandbytes nf4``, ``bitsandbytes int8``, …), or ""."""
    settings = settings_in(folder).get("quantization_config")
    if not isinstance(settings, dict):
        return ""
    method = str(settings.get("quant_method") or "unnamed")
    if method != BITSANDBYTES:
        return method
    kind = settings.get("bnb_4bit_quant_type") if settings.get("load_in_4bit") else "int8"
    return f"{method} {kind or 'fp4'}"


def require_dequantiser(folder: Path) -> None:
    """Refuse, before any weight is read, what cannot be dequantised.

    Raises
    ------
    InputError
        Another method than bitsandbytes; bitsandbytes is not installed; nothing is packed.
    """
    method = quantisation_of(folder)
    if not method:
        return
    if not method.startswith(BITSANDBYTES):
        raise InputError(
            f"{folder}: its weights are quantised by {quoted(method, 60)}, which is not "
            "dequantised on a CPU; where the model runs: "
            "AutoModelForCausalLM.from_pretrained(…).dequantize().save_pretrained(…), and give "
            "that folder"
        )
    if find_spec(BITSANDBYTES) is None:
        raise InputError(
            f"{folder}: its weights are quantised by {method}; to read them: pip install "
            "'circuitgraph[quantised]'"
        )
    if all(
        kind in FLOATS
        for file in folder.glob("*.safetensors")
        for kind in stored_kinds(file).values()
    ):
        raise InputError(
            f"{folder / 'config.json'}: says quantised by {method}, but the weights beside it are "
            "floating-point numbers; remove quantization_config from it if they are the model's"
        )


def in_float32(folder: Path, hf: Any) -> Any:
    """The library's quantised model with float32 matrices in place of packed ones.

    For 8-bit models the library's forward pass also rounds activations, which this does not.
    ``InputError`` where the library fails.
    """
    try:
        plain = hf.dequantize(dtype=torch.float32).float()
    except Exception as error:  # of a library that may not know this machine
        raise InputError(f"{folder}: cannot be dequantised ({first_line(error)})") from error
    if hasattr(plain.config, "quantization_config"):
        del plain.config.quantization_config
    return plain
