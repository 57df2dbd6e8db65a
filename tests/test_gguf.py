"""GGUF files as models: the numbers of the file, its tokens, and what is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf_files import TEXTS, byte_level, llama, write
from shell import cli, done
from transformers import AutoModelForCausalLM, AutoTokenizer

from circuitgraph.base.errors import InputError
from circuitgraph.models.gguf import convert_gguf, origin_of
from circuitgraph.models.variants import load_variant, model_folder
from circuitgraph.prompts.tokenizer import load_tokenizer

Q8 = gguf.GGMLQuantizationType.Q8_0
PROBE = torch.arange(3, 23)[None]


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request) -> None:
    if "smollm2_gguf" not in request.fixturenames:
        monkeypatch.setenv("CIRCUITGRAPH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def words():
    return byte_level()


@pytest.fixture
def model(words):
    return llama(words.get_vocab_size())


def logits(folder: Path) -> torch.Tensor:
    hf = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return hf(PROBE).logits


def test_a_float_file_gives_the_model_that_was_written(model, words, tmp_path):
    file = write(tmp_path / "tiny.gguf", model, words)
    origin = convert_gguf(file, tmp_path / "out")
    with torch.no_grad():
        assert torch.allclose(logits(tmp_path / "out"), model(PROBE).logits, atol=1e-5)
    assert origin.quantisation == "ALL_F32"
    assert origin_of(tmp_path / "out") == origin


def test_a_quantised_file_gives_the_numbers_of_its_blocks(model, words, tmp_path):
    file = write(tmp_path / "tiny.gguf", model, words, Q8)
    convert_gguf(file, tmp_path / "out")
    got = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    for name in ("model.layers.1.mlp.down_proj.weight", "model.embed_tokens.weight"):
        packed = gguf.quants.quantize(model.state_dict()[name].numpy(), Q8)
        assert np.array_equal(gguf.quants.dequantize(packed, Q8), got.state_dict()[name].numpy())
    assert not torch.equal(got.lm_head.weight, model.lm_head.weight)  # it was rounded


@pytest.mark.parametrize("text", [*TEXTS[:2], "a  5  and\n\n12", "Mary 1998"])
def test_texts_become_the_tokens_the_model_was_trained_on(model, words, text, tmp_path):
    convert_gguf(write(tmp_path / "tiny.gguf", model, words), tmp_path / "out")
    found = load_tokenizer(tmp_path / "out")
    assert found(text)["input_ids"] == words.encode(text).ids


def test_blanks_before_digits_tell_the_two_ways_to_split_apart(tmp_path):
    """Without this text the test above could not fail: both ways split the others alike."""
    for split in (True, False):
        tokenizer, out = byte_level(split), tmp_path / f"out{split}"
        way = "smollm" if split else "gpt-2"
        file = write(
            tmp_path / f"{way}.gguf", llama(tokenizer.get_vocab_size()), tokenizer, pre=way
        )
        convert_gguf(file, out)
        pieces = load_tokenizer(out).backend_tokenizer.pre_tokenizer.pre_tokenize_str("and\n\n67")
        assert [piece for piece, _ in pieces] == (
            ["and", "ĊĊ", "6", "7"] if split else ["and", "Ċ", "Ċ", "67"]
        )


def test_a_file_is_ingested_and_found_again_in_the_cache(model, words, tmp_path):
    file = write(tmp_path / "tiny.gguf", model, words, Q8)
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("prompt,scenario\nMary went to,a\nJohn went to,b\nthe store,c\n")
    first = done("-w", tmp_path / "w", "ingest", file, "--name", "tiny", "--prompts", prompts)
    assert "dequantised to float32 once" in first.err
    again = done("-w", tmp_path / "w", "ingest", file, "--name", "tiny", "--prompts", prompts)
    assert "once" not in again.err
    (run,) = (tmp_path / "w" / "runs").glob("*/run.json")
    variant = json.loads(run.read_text())["variant"]
    assert variant["quantisation"] == "Q8_0"
    assert variant["base"] == str(file.resolve())
    shutil.rmtree(tmp_path / "cache")  # it can be made again, and is the same variant
    done("-w", tmp_path / "w", "ingest", tmp_path, "--name", "tiny", "--prompts", prompts)
    assert len(list((tmp_path / "w" / "runs").glob("*/run.json"))) == 1


def test_the_command_writes_the_folder(model, words, tmp_path):
    file = write(tmp_path / "tiny.gguf", model, words)
    answer = done("--json", "convert", file, "-o", tmp_path / "out")
    assert answer.rows[0]["quantisation"] == "ALL_F32"
    assert load_variant(tmp_path / "out").variant.quantisation == "ALL_F32"
    assert "exists" in cli("convert", file, "-o", tmp_path / "out").complaint


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"extra": {"rope_freqs.weight": np.ones(4, np.float32)}}, "part of it would be lost"),
        ({"extra": {"blk.0.attn_q.bias": np.ones(32, np.float32)}}, "part of it would be lost"),
        ({"keys": {"llama.rope.scaling.type": "yarn"}}, "rotary positions are scaled"),
        ({"pre": "somebody-elses"}, "splits text in the way 'somebody-elses'"),
    ],
)
def test_what_the_library_would_drop_without_a_word_is_refused(
    model, words, options, why, tmp_path
):
    file = write(tmp_path / "tiny.gguf", model, words, **options)
    with pytest.raises(InputError, match=why):
        convert_gguf(file, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_files_that_are_no_model_are_refused(model, words, tmp_path):
    whole = write(tmp_path / "tiny.gguf", model, words)
    cut, text = tmp_path / "a" / "cut.gguf", tmp_path / "b" / "text.gguf"
    cut.parent.mkdir()
    text.parent.mkdir()
    cut.write_bytes(whole.read_bytes()[:900])
    text.write_text("no model")
    for file in (cut, text):
        with pytest.raises(InputError, match="not a whole GGUF file"):
            model_folder(file)
    shutil.copy(whole, tmp_path / "other.gguf")
    with pytest.raises(InputError, match="holds 2 GGUF files"):
        model_folder(tmp_path)
    shard = shutil.copy(whole, tmp_path / "m-00001-of-00002.gguf")
    with pytest.raises(InputError, match="one shard of several"):
        model_folder(shard)


@pytest.mark.slow
def test_a_pretrained_model_is_the_one_transformers_dequantises(smollm2_gguf, smollm2):
    tokenizer = load_tokenizer(smollm2)
    ids = tokenizer("When Mary and John went to the store, John gave a drink to")["input_ids"]
    ours = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)
    if smollm2_gguf.suffix != ".gguf":
        pytest.skip("CIRCUITGRAPH_SMOLLM2 is no GGUF file")
    theirs = AutoModelForCausalLM.from_pretrained(
        smollm2_gguf.parent, gguf_file=smollm2_gguf.name, dtype=torch.float32
    )
    with torch.no_grad():
        a, b = (hf(torch.tensor([ids])).logits for hf in (ours, theirs))
    assert float((a - b).abs().max()) <= 1e-4
    assert tokenizer.decode(int(a[0, -1].argmax())) == " Mary"
    chat = AutoTokenizer.from_pretrained(smollm2_gguf.parent, gguf_file=smollm2_gguf.name)
    assert tokenizer.chat_template == chat.chat_template is not None
