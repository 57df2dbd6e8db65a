"""A folder's tokenizer: special tokens as AutoTokenizer names them, ids as the file has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE, WordLevel
from transformers import AutoTokenizer, GPT2Config, LlamaConfig, Qwen2Config
from transformers.configuration_utils import PretrainedConfig

from circuitgraph.base.errors import InputError
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.prompts.tokens import encode

SPECIAL = ["<unk>", "<s>", "</s>", "<|endoftext|>", "<bos>"]


def folder(path: Path, config: PretrainedConfig, *files: tuple[str, dict]) -> Path:
    """A byte-level tokenizer in a model folder, and what other files say of it."""
    config.save_pretrained(path)
    tokenizer = Tokenizer(BPE({x: i for i, x in enumerate([*SPECIAL, "a", "b", "Ġ"])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(path / "tokenizer.json"))
    for name, content in files:
        (path / name).write_text(json.dumps(content))
    return path


CONFIG, MAP = "tokenizer_config.json", "special_tokens_map.json"
PLACES = {
    "class of the model type": (GPT2Config, None, "<|endoftext|>"),
    "only a length": (GPT2Config, (CONFIG, {"model_max_length": 64}), "<|endoftext|>"),
    "tokenizer_config": (LlamaConfig, (CONFIG, {"bos_token": "<bos>"}), "<bos>"),
    "special_tokens_map": (GPT2Config, (MAP, {"bos_token": "<bos>"}), "<bos>"),
    "named as none": (GPT2Config, (CONFIG, {"bos_token": None}), None),
    "a family without": (Qwen2Config, (CONFIG, {"add_bos_token": False}), None),
    "a family without, named": (Qwen2Config, (CONFIG, {"bos_token": "<bos>"}), "<bos>"),
}


@pytest.mark.parametrize(("config", "file", "bos"), PLACES.values(), ids=list(PLACES))
def test_the_beginning_is_the_one_auto_tokenizer_names(tmp_path: Path, config, file, bos) -> None:
    made = folder(tmp_path, config(), *([file] if file else []))
    assert AutoTokenizer.from_pretrained(made).bos_token == bos
    tokenizer = load_tokenizer(made)
    assert tokenizer.bos_token == bos
    found = encode(PromptSet((Prompt("ab", "s"),), "f"), tokenizer)
    begun = () if bos is None else (SPECIAL.index(bos),)
    assert found.prompts[0].prompt == (*begun, 5, 6)
    assert found.bos == ("none" if bos is None else "added")


def test_a_class_named_in_a_file_says_what_it_begins_with(tmp_path: Path) -> None:
    LlamaConfig().save_pretrained(tmp_path)
    words = {x: i for i, x in enumerate(["<unk>", "</s>", "<s>", "▁", "a", "▁a"])}
    inner = Tokenizer(BPE(words, [("▁", "a")], unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    inner.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / CONFIG).write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"}))
    assert AutoTokenizer.from_pretrained(tmp_path).bos_token == "<s>"
    found = encode(PromptSet((Prompt("a a", "s"),), "f"), load_tokenizer(tmp_path))
    assert found.prompts[0].prompt == (2, 5, 5)


def test_ids_are_those_of_the_file_where_auto_tokenizer_makes_others(tmp_path: Path) -> None:
    Qwen2Config().save_pretrained(tmp_path)
    words = Tokenizer(WordLevel({"<unk>": 0, "yes": 1, "no": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.save(str(tmp_path / "tokenizer.json"))
    assert AutoTokenizer.from_pretrained(tmp_path)("yes no")["input_ids"] != [1, 2]
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer("yes no")["input_ids"] == [1, 2]
    assert tokenizer.eos_token is None  # the class's own is no word of this vocabulary


@pytest.mark.parametrize("config", [GPT2Config, LlamaConfig, Qwen2Config])
@pytest.mark.parametrize("said", [None, {"bos_token": "<bos>"}])
def test_a_folder_without_a_tokenizer_is_told_so(tmp_path: Path, config, said) -> None:
    config().save_pretrained(tmp_path)
    if said:
        (tmp_path / CONFIG).write_text(json.dumps(said))
    with pytest.raises(InputError, match="the folder has no tokenizer; save the one"):
        load_tokenizer(tmp_path)
