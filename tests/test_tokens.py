"""Prompts as token ids: what is added, what is kept, what is refused with its line."""

from __future__ import annotations

import pytest
from models import make_tokenizer
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast

from circuitgraph.base.errors import InputError
from circuitgraph.prompts import Prompt, PromptSet
from circuitgraph.prompts.tokens import encode, require_equal_pairs, unequal_pairs

CHAT = "{{ bos_token }} w4 {% for m in messages %}{{ m['content'] }}{% endfor %} w5"


@pytest.fixture
def tokenizer():
    return make_tokenizer()


def prompts(*rows: Prompt) -> PromptSet:
    return PromptSet(rows, "file.jsonl")


def spaced_tokenizer() -> PreTrainedTokenizerFast:
    """Knows words with and without a space before them as different tokens."""
    words = {"<unk>": 0, "yes": 1, " yes": 2, "go": 3, " go": 4}
    inner = Tokenizer(WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = Split(Regex(r" ?\w+"), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")


def test_the_beginning_is_added_once(tokenizer):
    found = encode(prompts(Prompt("w7 w8", "s", corrupt="w7 w9")), tokenizer)
    assert found.prompts[0].prompt == (1, 7, 8)
    assert found.prompts[0].corrupt == (1, 7, 9)
    assert (found.bos, found.template) == ("added", "")


def test_a_beginning_that_is_there_is_not_doubled(tokenizer):
    found = encode(prompts(Prompt("<bos> w7", "s"), Prompt("<bos> w8", "s")), tokenizer)
    assert [p.prompt for p in found.prompts] == [(1, 7), (1, 8)]
    assert found.bos == "present"
    mixed = encode(prompts(Prompt("<bos> w7", "s"), Prompt("w8", "s")), tokenizer)
    assert [p.prompt for p in mixed.prompts] == [(1, 7), (1, 8)]
    assert mixed.bos == "added"


def test_without_a_beginning_of_its_own_the_tokenizer_gets_none():
    found = encode(prompts(Prompt("go go", "s")), spaced_tokenizer())
    assert found.prompts[0].prompt == (3, 4)
    assert found.bos == "none"


def test_answers_keep_their_leading_space_and_get_no_beginning():
    row = Prompt("go", "s", corrupt="yes", answer=" yes", wrong_answer=" go yes")
    found = encode(prompts(row), spaced_tokenizer()).prompts[0]
    assert (found.prompt, found.answer, found.wrong_answer) == ((3,), (2,), (4, 2))


def test_an_answer_that_makes_an_unknown_word_of_the_last_one_is_refused():
    row = Prompt("go", "s", corrupt="yes", answer=" yes", wrong_answer="yes go", line=6)
    with pytest.raises(InputError, match="line 6: 'yes go' makes an unknown word"):
        encode(prompts(row), spaced_tokenizer())


def test_truncation_and_padding_stored_in_a_tokenizer_are_not_applied(tokenizer):
    tokenizer.backend_tokenizer.enable_truncation(2)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    found = encode(prompts(Prompt("w7 w8 w9 w10", "s")), tokenizer)
    assert found.prompts[0].prompt == (1, 7, 8, 9, 10)


def test_a_chat_template_wraps_prompts_and_corrupt_prompts_but_no_answers(tokenizer):
    tokenizer.chat_template = CHAT
    row = Prompt("w7", "s", corrupt="w8", answer="w9", wrong_answer="w10")
    found = encode(prompts(row), tokenizer, chat_template=True)
    assert found.prompts[0].prompt == (1, 4, 7, 5)
    assert found.prompts[0].corrupt == (1, 4, 8, 5)
    assert found.prompts[0].answer == (9,)
    assert (found.bos, found.template) == ("present", "chat")


def test_no_chat_template_or_a_failing_one_is_said(tokenizer):
    with pytest.raises(InputError, match="this tokenizer has no chat template"):
        encode(prompts(Prompt("w7", "s")), tokenizer, chat_template=True)
    for broken in ("{{ raise_exception('roles\nmust alternate') }}", "{% for %}"):
        tokenizer.chat_template = broken
        with pytest.raises(InputError, match="this tokenizer's template fails") as caught:
            encode(prompts(Prompt("w7", "s")), tokenizer, chat_template=True)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["prompt", "corrupt", "answer", "wrong_answer"])
@pytest.mark.parametrize(
    ("text", "message"),
    [("zebra quagga", "holds no word this tokenizer knows"), ("", "has no tokens")],
)
def test_texts_of_nothing_known_are_refused_with_line_and_column(tokenizer, column, text, message):
    row = {"prompt": "w7", "corrupt": "w8", "answer": "w9", "wrong_answer": "w10"} | {column: text}
    with pytest.raises(InputError, match=rf"file\.jsonl, line 4: {column} {message}"):
        encode(prompts(Prompt(scenario="s", line=4, **row)), tokenizer)


def test_one_known_word_is_enough(tokenizer):
    found = encode(prompts(Prompt("w7 zebra", "s")), tokenizer)
    assert found.prompts[0].prompt == (1, 7, 3)


def test_answers_of_equal_tokens_are_refused(tokenizer):
    row = Prompt("w7", "s", corrupt="w8", answer="w9", wrong_answer=" w9", line=3)
    with pytest.raises(InputError, match="line 3: answer and wrong_answer are the same tokens"):
        encode(prompts(row), tokenizer)


def test_length_counts_the_beginning_and_all_but_the_last_answer_token(tokenizer):
    row = Prompt("w7 w8", "s", corrupt="w7 w9", answer="w4", wrong_answer="w4 w5 w6", line=2)
    assert len(encode(prompts(row), tokenizer, max_positions=5).prompts) == 1
    with pytest.raises(InputError, match="line 2: 5 tokens; the model can take 4"):
        encode(prompts(row), tokenizer, max_positions=4)


def test_pairs_of_unequal_length_are_named_with_both_ways_out(tokenizer):
    rows = [
        Prompt("w7 w8", "s", corrupt="w7", answer="w4", wrong_answer="w5", line=k)
        for k in range(2, 9)
    ]
    rows.append(Prompt("w7 w8", "s", corrupt="w7 w9", answer="w4", wrong_answer="w5", line=9))
    encoded = encode(prompts(*rows), tokenizer).prompts
    assert [e.source.line for e in unequal_pairs(encoded)] == list(range(2, 9))
    with pytest.raises(InputError) as caught:
        require_equal_pairs(encoded, "file.jsonl")
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "file.jsonl",
        "line 2 (3 and 2 tokens), 3",
        "and 2 more",
        "pad the wording",
        '``ablation="mean"``',
    ):
        assert part in message
    require_equal_pairs(encoded[-1:], "file.jsonl")
