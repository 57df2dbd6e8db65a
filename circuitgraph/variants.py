"""Load a base model with an optional LoRA adapter, and know exactly what was loaded.

Only safetensors are read, no code of the model's own is run, and nothing touches the
network for a local folder.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from circuitgraph.components import Granularity, digest
from circuitgraph.errors import InputError, UsageError
from circuitgraph.runs import Variant

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class LoadedVariant:
    """A variant in memory.

    Attributes:
        variant: its record (name, paths, sizes, fingerprints).
        hf: the library's model, float32; a ``PeftModel`` with its adapter unmerged
            where there is one, until ``merged`` is called.
        tokenizer: of the base.
    """

    variant: Variant
    hf: Any
    tokenizer: Any

    @property
    def has_adapter(self) -> bool:
        """Whether an adapter was given."""
        return bool(self.variant.adapter)

    def merged(self) -> Any:
        """The library's model with the adapter merged into the weights (in place)."""
        return self.hf.merge_and_unload() if hasattr(self.hf, "merge_and_unload") else self.hf


def load_variant(
    model: str | Path,
    adapter: str | Path | None = None,
    *,
    name: str | None = None,
    recipe: str = "",
    granularity: Granularity = "head",
) -> LoadedVariant:
    """Load a model folder (or hub name) and an optional LoRA adapter in float32.

    Args:
        model: a local Hugging Face folder; any other text is taken as a hub name.
        adapter: a folder with ``adapter_config.json`` and ``adapter_model.safetensors``.
        name: of the variant; the folder's name where None.
        recipe: shared by variants trained alike.
        granularity: decides which variants share components.

    Raises:
        InputError: files missing, truncated, of another model, or not safetensors.
    """
    folder = model_folder(model)
    prints = fingerprints(folder, None if adapter is None else Path(adapter))
    tokenizer = load_tokenizer(folder)
    hf = _load_base(folder)
    if adapter is not None:
        hf = _load_adapter(hf, Path(adapter))
    shown = name if name is not None else Path(adapter or folder).resolve().name
    variant = _record(hf, shown, recipe, folder, adapter, granularity, prints)
    return LoadedVariant(variant, hf, tokenizer)


def _record(
    hf: Any,
    name: str,
    recipe: str,
    folder: Path,
    adapter: str | Path | None,
    granularity: Granularity,
    prints: dict[str, str],
) -> Variant:
    config = hf.config
    kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    sizes = (config.num_hidden_layers, config.num_attention_heads, kv_heads)
    return Variant(
        name=name,
        recipe=recipe,
        base=str(folder.resolve()),
        adapter="" if adapter is None else str(Path(adapter).resolve()),
        architecture=digest("architecture", config.model_type, *sizes, granularity),
        model_type=config.model_type,
        layers=sizes[0],
        heads=sizes[1],
        kv_heads=sizes[2],
        parameters=sum(p.numel() for p in hf.parameters()),
        fingerprint=digest("fingerprint", prints),
        fingerprints=prints,
    )


def with_granularity(variant: Variant, granularity: Granularity) -> Variant:
    """The same variant seen at another granularity: other components, same weights."""
    sizes = (variant.layers, variant.heads, variant.kv_heads)
    return replace(
        variant, architecture=digest("architecture", variant.model_type, *sizes, granularity)
    )


def model_folder(model: str | Path) -> Path:
    """The local folder of a model; a hub name is fetched (safetensors only).

    Raises:
        InputError: no such folder and no such name within reach.
    """
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(f"{folder}: no config.json; give a Hugging Face model folder")
        if not list(folder.glob("*.safetensors")):
            raise InputError(
                f"{folder}: no *.safetensors file; convert the weights "
                "(model.save_pretrained writes safetensors), .bin and .pt are never read"
            )
        return folder
    if folder.exists():
        raise InputError(f"{folder}: is a file; give the model's folder")
    return _from_hub(str(model))


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        raise InputError(
            f"{name}: no such folder, and not to be had from the model hub "
            f"({type(error).__name__}); give the path of a local model folder"
        ) from error


def fingerprints(folder: Path, adapter: Path | None) -> dict[str, str]:
    """sha256 of weights, adapter and tokenizer, each over its files' contents."""
    weights = ["config.json", *sorted(p.name for p in folder.glob("*.safetensors"))]
    prints = {
        "weights": _hash_files(folder, tuple(weights)),
        "tokenizer": _hash_files(folder, TOKENIZER_FILES),
    }
    if adapter is not None:
        _require_adapter(adapter)
        settings = json.loads((adapter / ADAPTER_FILES[0]).read_text("utf-8"))
        settings.pop("base_model_name_or_path", None)  # where it lies says nothing of what it is
        prints["adapter"] = digest(settings, _hash_files(adapter, ADAPTER_FILES[1:]))
    return prints


def _hash_files(folder: Path, names: tuple[str, ...]) -> str:
    parts = [
        (name, _hash_file(path, path.stat().st_size, path.stat().st_mtime_ns))
        for name in names
        if (path := folder / name).is_file()
    ]
    return digest(*parts)


@lru_cache(maxsize=256)
def _hash_file(path: Path, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_adapter(adapter: Path) -> None:
    if not adapter.is_dir():
        raise InputError(f"{adapter}: no such adapter folder")
    for name in ADAPTER_FILES:
        if not (adapter / name).is_file():
            raise InputError(
                f"{adapter}: no {name}; give a peft LoRA folder saved as safetensors "
                "(.bin and .pt are never read)"
            )
    try:
        settings = json.loads((adapter / ADAPTER_FILES[0]).read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{adapter / ADAPTER_FILES[0]}: not JSON ({error})") from error
    if not isinstance(settings, dict) or settings.get("peft_type") != "LORA":
        raise InputError(f"{adapter / ADAPTER_FILES[0]}: peft_type is not LORA")


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer as its ``tokenizer.json`` says.

    ``AutoTokenizer`` empties some local tokenizers (word-level ones in a Qwen2 folder),
    so it is used only where there is no such file.

    Raises:
        InputError: no tokenizer, or a damaged one.
    """
    try:
        if (folder / "tokenizer.json").is_file():
            return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise InputError(
            f"{folder}: its tokenizer cannot be read ({_first_line(error)})"
        ) from error


def _load_base(folder: Path) -> Any:
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    for file in sorted(folder.glob("*.safetensors")):
        _check_safetensors(file)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise InputError(f"{folder}: cannot be loaded ({_first_line(error)})") from error
    hf, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} weights are missing, first {missing[0]}; "
            "the files and config.json do not belong together"
        )
    return hf.eval()


def _check_safetensors(file: Path) -> None:
    try:
        with safe_open(file, framework="pt") as handle:
            handle.keys()
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: not a whole safetensors file ({_first_line(error)})") from error


def _load_adapter(hf: Any, adapter: Path) -> Any:
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors.torch import load_file

    file = adapter / ADAPTER_FILES[1]
    _check_safetensors(file)
    stored = load_file(file)
    broken = [key for key, value in stored.items() if not bool(value.isfinite().all())]
    if broken:
        raise InputError(f"{file}: {broken[0]} holds values that are not finite")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft warns where we raise, two lines down
            wrapped = PeftModel.from_pretrained(hf, str(adapter), local_files_only=True)
            expected = get_peft_model_state_dict(wrapped)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{adapter}: does not fit this base model ({_first_line(error)})"
        ) from error
    odd = sorted(set(stored) ^ set(expected))
    if odd:
        raise InputError(
            f"{adapter}: does not fit this base model; {len(odd)} weights have no "
            f"counterpart, first {odd[0]}"
        )
    return wrapped.eval()


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def require_same(variant: Variant, known: Variant) -> None:
    """Refuse a name that already stands for other weights.

    Raises:
        UsageError: says how to free the name.
    """
    if variant.fingerprint != known.fingerprint or variant.recipe != known.recipe:
        what = "recipe" if variant.fingerprint == known.fingerprint else "weights"
        raise UsageError(
            f"the name {variant.name!r} already stands for a variant with other {what}; "
            f"choose another name, or free it with: circuitgraph remove {variant.name}"
        )
