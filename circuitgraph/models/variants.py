"""Load a base model with an optional LoRA adapter.

Only safetensors are read, no code of the model is run, and a local folder needs no network.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from circuitgraph.base.components import Granularity, digest
from circuitgraph.base.errors import InputError, first_line, quoted
from circuitgraph.base.notices import collected_warnings
from circuitgraph.base.progress import Reporter
from circuitgraph.base.textfiles import check_safetensors, expanded
from circuitgraph.models.adapters import load_adapter, require_adapter, untie
from circuitgraph.models.architectures import require_decoder, sizes_of, stale_files
from circuitgraph.models.folders import ADAPTER_FILES, holds, require_model_files
from circuitgraph.models.gguf import dequantised, gguf_file, hash_file, origin_of
from circuitgraph.models.multimodal import OTHERS, loading_part, remark
from circuitgraph.models.quantised import in_float32, quantisation_of, require_dequantiser
from circuitgraph.models.weights import function_print, merged_weights
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.runs.record import Variant

TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "vocab.json", "merges.txt", "tokenizer.model"),
)
HUB_FILES = ("*.json", "*.jinja", "*.safetensors", "merges.txt", "tokenizer.model")


@dataclass(frozen=True)
class LoadedVariant:
    """A variant in memory.

    Attributes
    ----------
    variant : Variant
    hf : Any
        The library's model, float32; with an adapter a ``PeftModel``, unmerged until ``merged``.
    tokenizer : Any
        Of the base, or the adapter's own where it has other tokens.
    remarks : tuple of str
    change : float, optional
        ‖ΔW‖ / ‖W‖ over the weights an adapter changes.
    kept : float
        Share of ΔW that is left once it is added in float32.
    prints : mapping
        Hash of each merged tensor by name.
    """

    variant: Variant
    hf: Any
    tokenizer: Any
    remarks: tuple[str, ...] = ()
    change: float | None = None
    kept: float = 1.0
    prints: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"LoadedVariant({self.variant!r})"

    @property
    def has_adapter(self) -> bool:
        return bool(self.variant.adapter)

    def merged(self) -> Any:
        """The library's model with the adapter merged into the weights (in place).

        Raises
        ------
        InputError
            An adapter that cannot be written as a change of weights.
        """
        if not self.has_adapter:
            return self.hf
        untie(self.hf)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the self-check says whether the merge was right
                return self.hf.merge_and_unload()
        except Exception as error:  # peft raises many exception types
            raise unmergeable(self.variant.adapter, error) from error


def unmergeable(adapter: str, error: Exception) -> InputError:
    """What is raised where peft cannot write an adapter as a change of weights."""
    return InputError(f"{adapter}: cannot be merged into the base ({first_line(error)})")


def load_variant(
    model: str | Path,
    adapter: str | Path | None = None,
    *,
    name: str | None = None,
    recipe: str = "",
    granularity: Granularity = "head",
    reporter: Reporter | None = None,
) -> LoadedVariant:
    """Load a model folder (or hub name) and an optional LoRA adapter in float32.

    Parameters
    ----------
    model : str or path
        A local Hugging Face folder or GGUF file; any other text is a hub name.
    adapter : str or path, optional
        A folder with ``adapter_config.json`` and ``adapter_model.safetensors``.
    name : str, optional
        Of the variant; by default the folder's.
    recipe : str
        Shared by variants trained alike.
    granularity : {"head", "layer"}
        Enters the architecture that variants share.

    Raises
    ------
    InputError
        Files missing, truncated, of another model, or not safetensors.
    """
    folder = model_folder(model, reporter)
    own = None if adapter is None else expanded(adapter)
    prints = fingerprints(model, own, folder)
    source = tokenizer_folder(folder, own)
    tokenizer = load_tokenizer(source)
    hf, remarks = load_base(folder)
    if own is not None:
        hf, said = load_adapter(hf, own)
        remarks += said
    if source != folder:
        remarks.append(f"{source.name}: brings a tokenizer that knows other tokens; it is used")
    shown = name if name is not None else (own or folder).resolve().name
    base = str((gguf_file(model) or folder).resolve())
    places = base, "" if own is None else str(own.resolve())
    loaded = loaded_from(hf, tokenizer, shown, recipe, *places, granularity, prints)
    origin = origin_of(folder)
    quantisation = quantisation_of(folder) if origin is None else origin.quantisation
    variant = replace(loaded.variant, quantisation=quantisation)
    return replace(loaded, variant=variant, remarks=tuple(remarks))


def loaded_from(
    hf: Any,
    tokenizer: Any,
    name: str,
    recipe: str,
    base: str,
    adapter: str,
    granularity: Granularity,
    prints: dict[str, str],
) -> LoadedVariant:
    """A model of the library (float32, its adapter unmerged) as a loaded variant.

    ``prints`` are hashes of ``weights``, ``tokenizer`` and ``adapter``; ``InputError`` for an
    adapter that cannot be merged.
    """
    try:
        merged = merged_weights(hf)
    except Exception as error:  # peft raises many exception types
        raise unmergeable(adapter or base, error) from error
    config, sizes = hf.config, sizes_of(hf.config, Path(base))
    variant = Variant(
        name=name,
        recipe=recipe,
        base=base,
        adapter=adapter,
        architecture=digest("architecture", config.model_type, *sizes, granularity),
        model_type=config.model_type,
        layers=sizes[0],
        heads=sizes[1],
        kv_heads=sizes[2],
        parameters=sum(p.numel() for p in hf.parameters()),
        fingerprint=digest("fingerprint", merged.fingerprint, function_print(config)),
        fingerprints={**prints, "merged": merged.fingerprint},
    )
    return LoadedVariant(variant, hf, tokenizer, (), merged.change, merged.kept, merged.prints)


def model_folder(model: str | Path, reporter: Reporter | None = None) -> Path:
    """The local folder of a model; a hub name is downloaded (safetensors only).

    A GGUF file becomes a float32 folder in the user's cache.

    Raises
    ------
    InputError
        No such folder and no such name within reach.
    """
    file = gguf_file(model)
    if file is not None:
        return dequantised(file, reporter or Reporter())
    folder = expanded(model)
    if holds(folder.is_dir):
        require_model_files(folder)
        return folder
    if holds(folder.is_file):
        raise InputError(f"{folder}: is a file; give the model's folder, or a .gguf file")
    return _from_hub(str(model))


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=list(HUB_FILES)))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        raise InputError(
            f"{quoted(name, 200)}: no such folder, and not to be had from the model hub "
            f"({type(error).__name__}); give the path of a local model folder"
        ) from error


def fingerprints(
    model: str | Path, adapter: Path | None, folder: Path | None = None
) -> dict[str, str]:
    """sha256 of weights, adapter and tokenizer, each over its files' contents.

    A GGUF file is hashed itself, not what is dequantised from it. ``folder`` is the result of
    ``model_folder``, where known.
    """
    file, folder = gguf_file(model), folder or model_folder(model)
    source = tokenizer_folder(folder, adapter)
    if file is None:
        weights = ["config.json", *sorted(p.name for p in folder.glob("*.safetensors"))]
        prints = {"weights": _hash_files(folder, tuple(weights))}
    else:
        prints = {"weights": digest("gguf", hash_file(file))}
    own = file is not None and source == folder
    prints["tokenizer"] = prints["weights"] if own else tokenizer_print(source)
    if adapter is not None:
        settings = require_adapter(adapter)
        settings.pop("base_model_name_or_path", None)  # where it lies says nothing of what it is
        prints["adapter"] = digest(settings, _hash_files(adapter, ADAPTER_FILES[1:]))
    return prints


def tokenizer_print(folder: Path) -> str:
    """sha256 over the files of a folder's tokenizer."""
    return _hash_files(folder, TOKENIZER_FILES)


def _hash_files(folder: Path, names: tuple[str, ...]) -> str:
    parts = [(name, hash_file(folder / name)) for name in names if (folder / name).is_file()]
    return digest(*parts)


def tokenizer_folder(folder: Path, adapter: Path | None) -> Path:
    """The adapter's folder where its tokenizer has other tokens than the base's."""
    name = TOKENIZER_FILES[0]
    if adapter is None or not holds((adapter / name).is_file):
        return folder
    if _hash_files(adapter, (name,)) == _hash_files(folder, (name,)):
        return folder
    words = [load_tokenizer(place).get_vocab() for place in (folder, adapter)]
    return folder if words[0] == words[1] else adapter


def load_base(folder: Path) -> tuple[Any, list[str]]:
    """The library's model of a folder in float32, without an adapter, and remarks."""
    require_decoder(folder)
    require_dequantiser(folder)
    hf, said = _load_base(folder)
    return hf, [*stale_files(folder), *said]


def _load_base(folder: Path) -> tuple[Any, list[str]]:
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    packed: dict[str, Any] = {"device_map": "cpu"} if quantisation_of(folder) else {}
    for file in sorted(folder.glob("*.safetensors")):
        check_safetensors(file, packed=bool(packed))
    try:
        part = loading_part(folder)
        with collected_warnings() as said:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                **part,
                dtype=torch.float32,
                attn_implementation="eager",
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **packed or {"ignore_mismatched_sizes": True},  # told apart below, in words
            )
    except (
        Exception
    ) as error:  # user input: transformers raises many exception types on a bad config.json
        raise InputError(f"{folder}: cannot be loaded ({first_line(error)})") from error
    hf, info = loaded
    _require_every_weight(folder, info)
    hf = in_float32(folder, hf) if packed else hf
    require_finite(hf, folder)
    remarks = [f"transformers says: {line}" for line in said]
    return hf.eval(), [remark(folder), *remarks] if part else remarks


def require_finite(hf: Any, where: object) -> None:
    """Refuse (InputError) weights that are not finite numbers; ``where`` they were is named."""
    for name, parameter in hf.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise InputError(f"{where}: {name} holds values that are not finite")


def _require_every_weight(folder: Path, info: dict[str, Any]) -> None:
    # A value head or a buffer may be left over; a whole block left over is another model.
    blocks = {
        name
        for name in info["unexpected_keys"]
        if re.search(r"\.\d+\..*weight$", f".{name}") and not OTHERS.match(name)
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
