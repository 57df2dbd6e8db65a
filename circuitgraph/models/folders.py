"""Folders of models and adapters, looked at before torch is imported and anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from circuitgraph.base.errors import InputError, quoted
from circuitgraph.base.textfiles import expanded

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def require_places(model: str, adapter: str | Path | None) -> None:
    """Refuse folders that cannot hold a model or an adapter; names of the hub are let through.

    Raises
    ------
    InputError
        What is missing, and what to give instead.
    """
    folder = expanded(model)
    if holds(folder.is_dir) and not (no_config(folder) and list(folder.glob("*.gguf"))):
        require_model_files(folder)
    if adapter is not None:
        require_adapter_files(expanded(adapter))


def require_model_files(folder: Path) -> None:
    """Refuse a folder without settings or weights of a model, or with an adapter beside them.

    Raises
    ------
    InputError
        What is missing, and what to give instead.
    """
    adapter = (folder / ADAPTER_FILES[0]).is_file()
    if no_config(folder):
        what = "give a Hugging Face model folder"
        if adapter:
            what = "this is an adapter; give the model it was trained on, and this by ``adapter``"
        raise InputError(f"{folder}: no config.json; {what}")
    if adapter:  # the library would put it in unasked
        raise InputError(
            f"{folder}: holds an adapter ({ADAPTER_FILES[0]}) beside the model; move it to a "
            "folder of its own and give that by ``adapter``"
        )
    if not list(folder.glob("*.safetensors")):
        raise InputError(
            f"{folder}: no *.safetensors file; convert the weights "
            "(model.save_pretrained writes safetensors), .bin and .pt are never read"
        )


def require_adapter_files(adapter: Path) -> None:
    """Refuse what is no folder of a LoRA adapter saved by peft.

    Raises
    ------
    InputError
        No such folder or file.
    """
    if not holds(adapter.is_dir):
        raise InputError(f"{quoted(str(adapter), 200)}: no such adapter folder")
    for name in ADAPTER_FILES:
        if not (adapter / name).is_file():
            raise InputError(
                f"{adapter}: no {name}; give a peft LoRA folder saved as safetensors "
                "(.bin and .pt are never read)"
            )


def no_config(folder: Path) -> bool:
    """Whether a folder lacks the settings of a model."""
    return not (folder / "config.json").is_file()


def holds(question: Callable[[], bool]) -> bool:
    """The answer of a question about a path; False for what cannot be one."""
    try:
        return question()
    except (OSError, ValueError):  # a name longer than any file's, or no name at all
        return False
