"""Generated tasks: every file works with a model, and its answers are right by other means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from shell import cli, done, rows
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import circuitgraph
from circuitgraph.base.errors import InputError, UsageError
from circuitgraph.prompts import Prompt, read_prompts
from circuitgraph.prompts.tasks import (
    TASKS,
    agreement,
    docstring,
    entity,
    greater_than,
    ioi,
    make,
)
from circuitgraph.prompts.tasks.pronoun import FRIENDS
from circuitgraph.prompts.tokenizer import load_tokenizer
from circuitgraph.prompts.tokens import encode

VOCABULARY = 2200


def words_of_tasks() -> list[str]:
    """Every word that a task may write, as texts to train a tokenizer on."""
    nouns = {*agreement.NOUNS, *agreement.NOUNS.values(), *greater_than.NOUNS, *FRIENDS}
    lists = (make.HE, make.SHE, docstring.ARGUMENTS, docstring.FUNCTIONS, nouns, ioi.SCENES)
    boxes = (*entity.OBJECTS, *entity.LETTERS, "Box")
    verbs = (*agreement.SINGULAR, *agreement.PLURAL, "he", "she", *ioi.SCENES.values())
    return [f" {word}" for each in (*lists, verbs, boxes) for word in each]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with a byte-level tokenizer that knows the words of the tasks."""
    folder = tmp_path_factory.mktemp("tasks") / "small"
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(words_of_tasks() * 3, trainer)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, intermediate_size=48,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=128,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


def right_ioi(prompt: Prompt) -> None:
    receiver, giver = (prompt.answer or "").strip(), (prompt.wrong_answer or "").strip()
    assert [len(re.findall(rf"\b{name}\b", prompt.prompt)) for name in (receiver, giver)] == [1, 2]
    assert [
        len(re.findall(rf"\b{name}\b", prompt.corrupt or "")) for name in (receiver, giver)
    ] == [
        2,
        1,
    ]


def right_greater_than(prompt: Prompt) -> None:
    found = re.search(r"year (\d\d)(\d)\d .*year \1$", prompt.prompt)
    assert found
    right, wrong = ({int(end) for end in side} for side in prompt.sides)
    assert right == {*range(int(found[2]) + 1, 10)}
    assert wrong == ({*range(int(found[2]))} or {0})
    assert re.search(r"year \d\d01 ", prompt.corrupt or "")


def right_agreement(prompt: Prompt) -> None:
    subject = re.search(r"that the (\w+) ", prompt.prompt)
    assert subject
    singular = subject[1] in agreement.NOUNS
    assert " is" in prompt.sides[0 if singular else 1]
    assert " are" in prompt.sides[1 if singular else 0]
    other = re.search(r"that the (\w+) ", prompt.corrupt or "")
    assert other
    assert (other[1] in agreement.NOUNS) is not singular


def right_pronoun(prompt: Prompt) -> None:
    def side(text: str) -> set[str]:
        found = {*re.findall(r"\w+", text)}
        return {" he"} & {" he" for _ in found & {*make.HE}} | {" she" for _ in found & {*make.SHE}}

    assert side(prompt.prompt) == {prompt.answer}
    assert side(prompt.corrupt or "") == {prompt.wrong_answer}


def right_sums(prompt: Prompt) -> None:
    for text, answer in ((prompt.prompt, prompt.answer), (prompt.corrupt, prompt.wrong_answer)):
        numbers = [int(number) for number in re.findall(r"\d+", f"{text}{answer}")]
        assert len(numbers) == 9
        assert all(a + b == c for a, b, c in zip(*(numbers[k::3] for k in range(3)), strict=True))


def right_docstring(prompt: Prompt) -> None:
    for text, answer in ((prompt.prompt, prompt.answer), (prompt.corrupt, prompt.wrong_answer)):
        header = re.search(r"\((?:self, )?(.*)\):", text or "")
        assert header
        arguments, told = header[1].split(", "), re.findall(r":param (\w+):", text or "")
        assert arguments[:2] == told
        assert answer == f" {arguments[2]}"


def right_entity(prompt: Prompt) -> None:
    for text, answer in ((prompt.prompt, prompt.answer), (prompt.corrupt, prompt.wrong_answer)):
        facts, question = (text or "").split(". ")
        [box] = re.findall(r"Box ([A-Z])", question)
        held = {
            letter: next(word for word in fact.split() if word in entity.OBJECTS)
            for fact in facts.split(", ")
            for letter in re.findall(r"Box ([A-Z])", fact)
        }
        assert len(held) == len({*held.values()}) == entity.BOXES
        assert answer == f" {held[box]}"


RIGHT: dict[str, Callable[[Prompt], None]] = {
    "ioi": right_ioi, "greater-than": right_greater_than, "agreement": right_agreement,
    "pronoun": right_pronoun, "sums": right_sums, "docstring": right_docstring,
    "entity": right_entity,
}  # fmt: skip


def test_every_task_is_tested() -> None:
    assert {*RIGHT} == {*TASKS}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.some(2)
def test_a_file_works_with_the_model_it_was_made_for(
    task: str, small: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"{task}.jsonl"
    done("prompts", "make", task, "--model", small, "-o", file)
    checked = rows("prompts", "check", file, "--model", small)
    assert checked["problems"] == []
    assert checked["text"]["directions"] == "given"
    assert not any("exchanged" in found for found in checked["text"]["findings"])
    for lens in checked["text"]["lenses"]:
        assert (lens["n"], lens["duplicates"]) == (200, 0)
        assert lens["n_scenarios"] >= 20
        assert lens["n_effective"] >= 170
    _holds(task, small, file)


def _holds(task: str, model: Path, file: Path) -> None:
    """Texts say what they should, tokens are as many as they must be."""
    prompts = read_prompts(file)
    assert len({p.id for p in prompts}) == 200
    assert len({p.template for p in prompts}) >= 2
    for prompt in prompts:
        RIGHT[task](prompt)
        assert prompt.direction == -1
    encoded = encode(prompts, load_tokenizer(model)).prompts
    assert len({row.prompt for row in encoded}) == 200
    for row in encoded:
        assert row.corrupt is not None
        assert len(row.corrupt) == len(row.prompt)
        assert len(row.answer) == len(row.wrong_answer)
        assert not row.rest


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_tasks_are_made_for_a_pretrained_tokenizer(
    task: str,
    smollm2: Path,
    tmp_path: Path,
) -> None:
    file = tmp_path / f"{task}.jsonl"
    done("prompts", "make", task, "--model", smollm2, "-o", file)
    _holds(task, smollm2, file)


def test_a_seed_makes_the_same_prompts_again(small: Path) -> None:
    made = [circuitgraph.make_prompts("ioi", small, n=40, seed=s).prompts for s in (3, 3, 4)]
    assert made[0] == made[1]
    assert made[0] != made[2]


@pytest.mark.parametrize(("n", "scenarios"), [(1, 1), (13, 6), (20, 10), (48, 24), (60, 24)])
def test_few_prompts_have_two_a_scenario_or_more(small: Path, n: int, scenarios: int) -> None:
    made = circuitgraph.make_prompts("ioi", small, n=n).prompts
    counts = Counter(prompt.scenario for prompt in made)
    assert (len(made), len(counts)) == (n, scenarios)
    assert n == 1 or min(counts.values()) >= 2


def test_whole_years_are_answers_where_they_are_one_token() -> None:
    class Halves:
        """Writes years as GPT-2 mostly does: two digits a token."""

        unk_token_id = None

        def __call__(self, text: str, add_special_tokens: bool = False) -> dict:
            return {"input_ids": [hash(part) for part in re.findall(r"\d\d| ?\D+?\b|.", text)]}

    draws = greater_than.GREATER_THAN.draws(make.Words(Halves()))
    from random import Random

    prompt = draws["war"](Random(1))
    year = int(re.search(r"year \d\d(\d\d) ", prompt.prompt)[1])
    right, wrong = ({int(end) for end in side} for side in prompt.sides)
    assert right == {*range(year + 1, 99)}
    assert wrong == ({*range(2, year)} or {2})


@pytest.mark.slow
def test_what_cannot_be_made_is_refused_before_anything_is_written(
    small: Path, tmp_path: Path
) -> None:
    from models import make_model

    file = tmp_path / "x.jsonl"
    words = make_model("llama", tmp_path / "words")
    told = cli("prompts", "make", "ioi", "--model", words, "-o", file).complaint
    assert "reads none of its prompts as they are meant" in told
    told = cli("prompts", "make", "agreement", "--model", small, "--n", 99999, "-o", file).complaint
    found = re.search(r"only (\d+) distinct prompts .*--n \1 or fewer", told)
    assert found
    assert not file.exists()
    told = cli("prompts", "make", "ioi", "--model", small, "-o", tmp_path / "x.csv").complaint
    assert "end the name in .jsonl" in told
    assert cli("prompts", "make", "chess", "--model", small, "-o", file).code == 2
    with pytest.raises(UsageError, match="'chess' is unknown; choose from ioi"):
        circuitgraph.make_prompts("chess", small)
    with pytest.raises(InputError, match="no such"):
        circuitgraph.make_prompts("ioi", tmp_path / "nowhere")
