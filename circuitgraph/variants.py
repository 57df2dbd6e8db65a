"""Load a base model with an optional LoRA adapter, and know exactly what was loaded.

Only safetensors are read, no code of the model's own is run, and nothing touches the
network for a local folder.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from circuitgraph.components import Granularity, digest
from circuitgraph.errors import InputError
from circuitgraph.runs import Variant
from circuitgraph.textfiles import check_safetensors, first_line, shown

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "vocab.json", "merges.txt", "tokenizer.model"),
)
HUB_FILES = ("*.json", "*.jinja", "*.safetensors", "merges.txt", "tokenizer.model")


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
        """The library's model with the adapter merged into the weights (in place).

        Raises:
            InputError: an adapter that cannot be written as a change of weights.
        """
        if not self.has_adapter:
            return self.hf
        _untie(self.hf)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the self-check says whether the merge was right
                return self.hf.merge_and_unload()
        except Exception as error:  # peft raises whatever comes to hand
            raise InputError(
                f"{self.variant.adapter}: cannot be merged into the base ({first_line(error)})"
            ) from error


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
    sizes = sizes_of(config, folder)
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


def sizes_of(config: Any, folder: str | Path) -> tuple[int, int, int]:
    """Layers, heads and key/value heads; families that share keys by other names, too."""
    layers, heads = (
        getattr(config, name, None) for name in ("num_hidden_layers", "num_attention_heads")
    )
    if not (isinstance(layers, int) and isinstance(heads, int)):
        raise InputError(
            f"{folder}: model type {config.model_type!r} names no number of layers and attention "
            "heads; only decoders made of attention and MLPs can be measured"
        )
    shared = getattr(config, "num_key_value_heads", None)
    if shared is None and getattr(config, "new_decoder_architecture", False):  # Falcon's two
        shared = config.num_kv_heads
    elif shared is None and getattr(config, "multi_query", False):
        shared = 1
    return layers, heads, shared or heads


def model_folder(model: str | Path) -> Path:
    """The local folder of a model; a hub name is fetched (safetensors only).

    Raises:
        InputError: no such folder and no such name within reach.
    """
    folder = Path(model)
    if _holds(folder.is_dir):
        if not (folder / "config.json").is_file():
            raise InputError(f"{folder}: no config.json; give a Hugging Face model folder")
        if (folder / ADAPTER_FILES[0]).is_file():  # the library would put it in unasked
            raise InputError(
                f"{folder}: holds an adapter ({ADAPTER_FILES[0]}) beside the model; move it to a "
                "folder of its own and give that by --adapter"
            )
        if not list(folder.glob("*.safetensors")):
            raise InputError(
                f"{folder}: no *.safetensors file; convert the weights "
                "(model.save_pretrained writes safetensors), .bin and .pt are never read"
            )
        return folder
    if _holds(folder.is_file):
        raise InputError(f"{folder}: is a file; give the model's folder")
    return _from_hub(str(model))


def _holds(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # a name longer than any file's
        return False


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=list(HUB_FILES)))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        raise InputError(
            f"{shown(name, 200)}: no such folder, and not to be had from the model hub "
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
        settings = _adapter_settings(adapter)
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
    if not _holds(adapter.is_dir):
        raise InputError(f"{shown(str(adapter), 200)}: no such adapter folder")
    for name in ADAPTER_FILES:
        if not (adapter / name).is_file():
            raise InputError(
                f"{adapter}: no {name}; give a peft LoRA folder saved as safetensors "
                "(.bin and .pt are never read)"
            )
    if _adapter_settings(adapter).get("peft_type") != "LORA":
        raise InputError(f"{adapter / ADAPTER_FILES[0]}: peft_type is not LORA")


def _adapter_settings(adapter: Path) -> dict[str, Any]:
    file = adapter / ADAPTER_FILES[0]
    try:
        settings = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({first_line(error)})") from error
    if not isinstance(settings, dict):
        raise InputError(f"{file}: holds no settings; give a peft LoRA folder")
    return settings


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
        raise InputError(f"{folder}: its tokenizer cannot be read ({first_line(error)})") from error


def _load_base(folder: Path) -> Any:
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    for file in sorted(folder.glob("*.safetensors")):
        check_safetensors(file)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told apart below, in words
        )
    except Exception as error:  # config.json is anybody's, and errors of every kind come of it
        raise InputError(f"{folder}: cannot be loaded ({first_line(error)})") from error
    hf, info = loaded
    _require_every_weight(folder, info)
    for name, parameter in hf.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise InputError(f"{folder}: {name} holds values that are not finite")
    return hf.eval()


def _require_every_weight(folder: Path, info: dict[str, Any]) -> None:
    # A value head or a buffer may be left over; a whole block left over is another model.
    blocks = {
        name for name in info["unexpected_keys"] if re.search(r"\.\d+\..*weight$", f".{name}")
    }
    misshapen = {name for name, *_ in info["mismatched_keys"]}
    for names, what in (
        (misshapen, "have another shape than config.json says"),
        (info["missing_keys"], "are missing"),
        (blocks, "belong to no layer that config.json names"),
    ):
        if names:
            raise InputError(
                f"{folder}: {len(names)} weights {what}, first {min(names)}; "
                "the files and config.json do not belong together"
            )


def _load_adapter(hf: Any, adapter: Path) -> Any:
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors.torch import load_file

    _require_same_family(hf, adapter)
    file = adapter / ADAPTER_FILES[1]
    check_safetensors(file)
    stored = load_file(file)
    broken = [key for key, value in stored.items() if not bool(value.isfinite().all())]
    if broken:
        raise InputError(f"{file}: {broken[0]} holds values that are not finite")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft warns where we raise, two lines down
            wrapped = PeftModel.from_pretrained(hf, str(adapter), local_files_only=True)
            # "auto", the default, looks for the base on the network
            least, most = (
                set(get_peft_model_state_dict(wrapped, save_embedding_layers=whether))
                for whether in (False, True)
            )
    except Exception as error:  # adapter_config.json is anybody's too
        raise InputError(
            f"{adapter}: does not fit this base model ({first_line(error)})"
        ) from error
    odd = sorted((least - set(stored)) | (set(stored) - most))
    if odd:
        raise InputError(
            f"{adapter}: does not fit this base model; {len(odd)} weights have no "
            f"counterpart, first {odd[0]}"
        )
    return wrapped.eval()


def _untie(hf: Any) -> None:
    """Give the unembedding weights of its own: merged into shared ones, a change meant for
    the one end of the model would change the other too."""
    ends = (hf.get_input_embeddings(), hf.get_output_embeddings())
    inner, outer = (getattr(layer, "base_layer", layer) for layer in ends)
    if (inner, outer) != ends and outer.weight is inner.weight:
        outer.weight = torch.nn.Parameter(inner.weight.detach().clone())


def _require_same_family(hf: Any, adapter: Path) -> None:
    """Random adapters of two families may have the very same shapes, so ask where it is from."""
    settings = _adapter_settings(adapter)
    try:
        trained_on = Path(settings["base_model_name_or_path"]) / "config.json"
        family = json.loads(trained_on.read_text("utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # it was trained elsewhere; its shapes must do
    if family != hf.config.model_type:
        raise InputError(
            f"{adapter}: does not fit this base model; it was trained on {trained_on.parent}, a "
            f"{shown(family)} model, and this is {hf.config.model_type!r}"
        )
