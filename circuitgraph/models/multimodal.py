"""The language model in a folder of several modalities."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from transformers import AutoConfig

LANGUAGE = {"gemma3": "gemma3_text"}
"""Model types of several modalities, and that of the language model inside."""


OTHERS = re.compile(r"(model\.)?(vision_tower|multi_modal_projector)\.")
"""Names of weights that only images meet."""


_NAMES = {
    r"^model\.language_model\.": "model.",
    r"^language_model\.model\.": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
}
"""As the weights of a language model are called where it is a part (today, and earlier)."""


def is_part(config: dict[str, Any]) -> bool:
    """Whether a ``config.json`` is of a model whose language model alone can be loaded."""
    return config.get("model_type") in LANGUAGE and isinstance(config.get("text_config"), dict)


def loading_part(folder: Path) -> dict[str, Any]:
    """Arguments of ``from_pretrained`` for the language model alone; {} where it is all.

    Raises whatever the library raises for a configuration that it cannot read.
    """
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if not is_part(config):
        return {}
    whole = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return {"config": whole.get_text_config(), "key_mapping": _NAMES}


def remark(folder: Path) -> str:
    """The remark where only the language model is loaded."""
    return (
        f"{folder.name}: a model of several modalities; its language model is measured, its "
        "image parts are ignored"
    )
