"""Answers in place: decisions against the library's tokenizer and forward on the whole text.

The expected number is made without circuitgraph: the whole texts are encoded by the library,
the longest common beginning of prompt, prompt + answer and prompt + wrong answer is found by
hand, and the log-probabilities of all that follows it are summed from the library's logits.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram, WordLevel
from tokenizers.trainers import BpeTrainer, UnigramTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from circuitgraph.base.errors import InputError
from circuitgraph.engine.batches import make_batch
from circuitgraph.engine.families import from_hf
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.tokens import encode, require_equal_pairs

WORDS = "The capital of France Italy is Paris Rome . Answer : 17 45 1745 1776 7 + 5 = 12 9 yes no"
TEXTS = [f"{WORDS} The capital of France is Paris .\nThe capital of Italy is Rome ."] * 60
SPECIAL = ["<unk>", "<s>", "</s>", "<|user|>", "<|end|>"]
CHAT = (
    "{% for m in messages %}<|user|>{{ m['content'] | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}Answer :\n{% endif %}"
)


def trained(model: BPE | Unigram, before: object, normal: object) -> Tokenizer:
    tokenizer = Tokenizer(model)
    if normal is not None:
        tokenizer.normalizer = normal
    if before is not None:
        tokenizer.pre_tokenizer = before
    shared = {"vocab_size": 300, "special_tokens": SPECIAL, "show_progress": False}
    alphabet = pre_tokenizers.ByteLevel.alphabet() if "Byte" in repr(before) else []
    if isinstance(model, Unigram):
        trainer = UnigramTrainer(unk_token="<unk>", **shared)
    else:
        trainer = BpeTrainer(initial_alphabet=alphabet, **shared)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def llama_2() -> Tokenizer:
    """A mark in front of all text, and no pre-tokenizer: merges run across words."""
    normal = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer = trained(
        BPE(unk_token="<unk>"), pre_tokenizers.Metaspace(prepend_scheme="never"), normal
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([])
    return tokenizer


def metaspace(scheme: str) -> Callable[[], Tokenizer]:
    return lambda: trained(
        BPE(unk_token="<unk>"), pre_tokenizers.Metaspace(prepend_scheme=scheme), None
    )


def byte_level() -> Tokenizer:
    return trained(BPE(), pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.NFC())


def unigram() -> Tokenizer:
    normal = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(left=False)])
    return trained(Unigram(), pre_tokenizers.Metaspace(prepend_scheme="always"), normal)


KINDS = {
    "llama-2": llama_2,
    "metaspace-first": metaspace("first"),
    "metaspace-always": metaspace("always"),
    "byte-level": byte_level,
    "unigram": unigram,
}


@pytest.fixture(scope="module")
def hf() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
        initializer_range=0.6,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    made = KINDS[request.param]()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", unk_token="<unk>", chat_template=CHAT
    )


@torch.no_grad()
def by_hand(
    hf: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, text: str, row: Prompt
) -> float:
    whole = [
        [1, *tokenizer(text + more, add_special_tokens=False)["input_ids"]]
        for more in ("", row.answer, row.wrong_answer)
    ]
    k = 0
    while k < min(map(len, whole)) and whole[0][k] == whole[1][k] == whole[2][k]:
        k += 1
    scores = []
    for ids in whole[1:]:
        logs = hf(torch.tensor([ids])).logits[0].log_softmax(-1)
        scores.append(sum(float(logs[i - 1, ids[i]]) for i in range(k, len(ids))))
    return scores[0] - scores[1]


FRANCE, ITALY = "The capital of France is", "The capital of Italy is"
LINES = ("The capital of France :\n", "s", "The capital of Italy :\n")
ROWS = {
    "leading space": Prompt(FRANCE, "s", ITALY, " Paris", " Rome"),
    "no space": Prompt(FRANCE, "s", ITALY, "Paris", "Rome"),
    "blank at the end": Prompt(FRANCE + " ", "s", ITALY + " ", "Paris", "Rome"),
    "after a line break": Prompt(*LINES, "Paris", "Rome"),
    "several tokens": Prompt(FRANCE, "s", ITALY, " Paris . no", " no Rome"),
    "digits": Prompt("7 + 5 = ", "s", "7 + 9 = ", "12", "9"),
    "one year": Prompt("France 17", "s", "Italy 17", "45", "76"),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
@pytest.mark.parametrize("chat", [False, True], ids=["plain", "chat"])
@pytest.mark.some(15)
def test_decisions_are_those_of_the_whole_text(hf, tokenizer, row: Prompt, chat: bool) -> None:
    found = encode(PromptSet((row,), "f"), tokenizer, chat_template=chat).prompts[0]
    clean, _, _ = from_hf(hf).decisions(make_batch([found], whole=True))
    text = row.prompt
    if chat:
        turn = [{"role": "user", "content": text}]
        text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    assert float(clean[0]) == pytest.approx(by_hand(hf, tokenizer, text, row), abs=2e-5)
    alone = [1, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert list(found.whole) == alone


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_the_same_answer_tokens_follow_the_corrupt_prompt(tokenizer, row: Prompt) -> None:
    found = encode(PromptSet((row,), "f"), tokenizer).prompts[0]
    assert not found.apart
    for text, kept in ((row.prompt, found.prompt), (row.corrupt, found.corrupt)):
        for answer, ids in ((row.answer, found.answer), (row.wrong_answer, found.wrong_answer)):
            whole = tokenizer(text + answer, add_special_tokens=False)["input_ids"]
            assert [*kept, *ids] == [1, *whole]


YEARS = [("1", "7"), ("1", "8"), ("7", "6"), ("2", "0"), ("17", "76"), ("17", "20")]


@pytest.fixture(scope="module")
def years() -> PreTrainedTokenizerFast:
    """Knows the years 1776 and 1720 as one token each, and no year of the next century."""
    pieces = [*"0125678 .", *(a + b for a, b in YEARS)]
    model = BPE({piece: i for i, piece in enumerate(pieces)}, YEARS)
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model))


def test_a_merged_border_leaves_the_shared_tokens(years) -> None:
    row = Prompt(". 17", "s", "  17", "76", "20")
    found = encode(PromptSet((row,), "f"), years).prompts[0]
    tokens = years.convert_ids_to_tokens
    assert tokens(list(found.prompt)) == [".", " "]
    assert (tokens(list(found.answer)), tokens(list(found.wrong_answer))) == (["1776"], ["1720"])
    assert (tokens(list(found.rest)), tokens(list(found.corrupt))) == (["17"], [" ", " "])


def test_a_border_that_one_answer_merges_is_shifted_for_both(years) -> None:
    found = encode(PromptSet((Prompt(". 17", "s", "5 17", "76", "5"),), "f"), years).prompts[0]
    tokens = years.convert_ids_to_tokens
    answers = [tokens(list(ids)) for ids in (found.answer, found.wrong_answer)]
    assert answers == [["1776"], ["17", "5"]]


def test_answers_that_corrupt_reads_as_other_tokens_are_refused_where_it_matters(years) -> None:
    row = Prompt(". 17", "s", ". 18", "76", "20", line=3)
    encoded = encode(PromptSet((row,), "f"), years).prompts
    assert encoded[0].prompt + encoded[0].answer == (8, 7, 13)  # ablations need no corrupt text
    with pytest.raises(InputError, match=r"f, line 3: answer '76' is read as '1776' after prompt "
                       r"and as '76' after corrupt; .*``ablation=\"mean\"``"):  # fmt: skip
        require_equal_pairs(encoded, "f")


def test_nothing_left_of_the_prompt_is_refused(years) -> None:
    row = Prompt("17", "s", None, "76", "20", line=2)
    with pytest.raises(InputError, match="line 2: the whole prompt merges with its answers"):
        encode(PromptSet((row,), "f"), years)


def word_level(words: str) -> PreTrainedTokenizerFast:
    known = {word: i for i, word in enumerate(["<unk>", *words.split()])}
    inner = Tokenizer(WordLevel(known, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def test_a_tokenizer_that_drops_blanks_reads_the_next_word() -> None:
    """As all examples of examples/ipd are written: "Your answer :" and "action1"."""
    tokenizer = word_level("Your answer : action1 action2")
    for blank in ("", " "):
        row = Prompt("Your answer :", "s", "answer Your :", f"{blank}action1", f"{blank}action2")
        found = encode(PromptSet((row,), "f"), tokenizer).prompts[0]
        assert (found.prompt, found.corrupt) == ((1, 2, 3), (2, 1, 3))
        assert (found.answer, found.wrong_answer, found.rest) == ((4,), (5,), ())


def test_an_unknown_last_word_swallows_no_answer() -> None:
    tokenizer = word_level("Your answer action1 action2")
    row = Prompt("Your zebra", "s", None, "action1 answer", "action2")
    found = encode(PromptSet((row,), "f"), tokenizer).prompts[0]
    assert (found.prompt, found.rest) == ((1, 0), ())
    assert (found.answer, found.wrong_answer) == ((3, 2), (4,))


def test_a_word_that_a_tokenizer_knows_in_one_is_one() -> None:
    tokenizer = word_level("un able unable unfair")
    row = Prompt("able un", "s", None, "able", "fair")
    found = encode(PromptSet((row,), "f"), tokenizer).prompts[0]
    assert (found.prompt, found.rest) == ((2,), (1,))
    assert (found.answer, found.wrong_answer) == ((3,), (4,))


@pytest.mark.parametrize(
    ("column", "text"),
    [("prompt", "a c"), ("corrupt", "b c"), ("answer", "c"), ("wrong_answer", "b c")],
)
def test_a_token_without_an_embedding_is_named_with_its_line(column: str, text: str) -> None:
    row = {"prompt": "a b", "corrupt": "b b", "answer": "a", "wrong_answer": "b"} | {column: text}
    tokenizer = word_level("a b c")
    rows = PromptSet((Prompt(scenario="s", line=6, **row),), "f")
    assert len(encode(rows, tokenizer, rows=4).prompts) == 1
    with pytest.raises(InputError, match=rf"f, line 6: {column} holds the token 'c' \(id 3\), "
                       r"and the model has embeddings of 3 tokens \(ids 0 to 2\)"):  # fmt: skip
        encode(rows, tokenizer, rows=3)


def test_marked_words_are_found_in_a_template_that_trims() -> None:
    """Alone, the text before the marks loses its blank and ends as a turn of its own."""
    tokenizer = word_level("u e A B C in went . :")
    tokenizer.chat_template = (
        "{% for m in messages %}u {% if m['content'] %}{{ m['content'] | trim }} {% endif %}e "
        "{% endfor %}:"
    )
    row = Prompt("A B went .", "s", "C went .", "in", "B", span="A B", corrupt_span="C")
    found = encode(PromptSet((row,), "f"), tokenizer, chat_template=True).prompts[0]
    assert tokenizer.convert_ids_to_tokens(list(found.prompt)) == [
        "u",
        *"AB",
        "went",
        ".",
        "e",
        ":",
    ]
    assert found.partners == (0, -1, 1, 2, 3, 4, 5)
