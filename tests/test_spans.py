"""Marked words of unequal pairs: read, refused, fingerprinted, aligned, as a user meets them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from models import make_model, make_tokenizer
from shell import IPD, cli, done, rows
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import Replace
from transformers import PreTrainedTokenizerFast

from circuitgraph.base.errors import InputError
from circuitgraph.ingest.jobs import plan
from circuitgraph.ingest.request import Request
from circuitgraph.models.variants import load_variant
from circuitgraph.prompts import Prompt, PromptSet, read_prompts
from circuitgraph.prompts.report import check_text
from circuitgraph.prompts.tokens import (
    align,
    aligned_pairs,
    encode,
    require_equal_pairs,
    unequal_pairs,
)
from circuitgraph.runs.record import list_runs, read_run

MARKED = Prompt(
    "w4 w5 w6 w7", "s", "w4 w8 w7", "w9", "w10", span="w5 w6", corrupt_span="w8", line=2
)
HEADER = "prompt,scenario,corrupt,answer,wrong_answer,span,corrupt_span\n"


def encoded(prompt: Prompt, tokenizer=None, **options):
    prompts = PromptSet((prompt,), "file.jsonl")
    return encode(prompts, tokenizer or make_tokenizer(), **options).prompts[0]


# Files


def test_marks_are_read_from_both_formats_and_may_be_empty(tmp_path: Path) -> None:
    csv, jsonl = tmp_path / "p.csv", tmp_path / "p.jsonl"
    csv.write_text(HEADER + "a b c,s,a d e c,x,y,b,d e\na b c,s,a f c,x,y,,\n")
    row = {"prompt": "a b c", "scenario": "s", "answer": "x", "wrong_answer": "y"}
    marked = row | {"corrupt": "a d e c", "span": "b", "corrupt_span": "d e"}
    bare = row | {"corrupt": "a f c", "span": None}
    jsonl.write_text(f"{json.dumps(marked)}\n{json.dumps(bare)}\n")
    for path in (csv, jsonl):
        prompts = read_prompts(path)
        assert [(p.span, p.corrupt_span) for p in prompts] == [("b", "d e"), (None, None)]
        report = check_text(prompts)
        assert report.marked == 1
        assert "differing words marked: 1 of 2 pairs" in report.lines()


BAD = {
    "one alone": ("a b c,s,a d c,x,y,b,", "no 'corrupt_span'; .*come together"),
    "an insertion": ("a c,s,a b c,x,y,,b", "no 'span'; .*mark a neighbouring word too"),
    "no corrupt": ("a b c,s,,x,y,b,d", "there is no corrupt"),
    "not there": ("a b c,s,a d c,x,y,q,d", "'span' is 'q', which is not in prompt; copy"),
    "not there either": ("a b c,s,a d c,x,y,b,D", "'corrupt_span' is 'D', which is not in corrupt"),
    "twice": (
        "b a b,s,d a b,x,y,b,d",
        "'span' is 'b', which stands more than once in prompt; mark",
    ),
    "over itself": ("aaa,s,b,x,y,aa,b", "'span' is 'aa', which stands more than once in prompt"),
    "differs before": ("a b c,s,q d c,x,y,b,d", "differ before span and corrupt_span too"),
    "differs after": ("a b c,s,a d q,x,y,b,d", "differ after span and corrupt_span too"),
    "white space": ("a b,s,a  b,x,y, ,  ", "'span' holds only white space"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_marks_are_refused_in_one_line_with_the_place(tmp_path: Path, name: str) -> None:
    row, message = BAD[name]
    path = tmp_path / "p.csv"
    path.write_text(HEADER + "a b c,s,a d e c,x,y,b,d e\n" + row + "\n")
    with pytest.raises(InputError, match=rf"^{path}, line 3: .*{message}") as caught:
        read_prompts(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 200


def test_marks_that_are_no_text_or_stand_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    row = {"prompt": "a 1", "scenario": "s", "corrupt": "a b", "answer": "x", "wrong_answer": "y"}
    path.write_text(json.dumps(row | {"span": 1, "corrupt_span": "b"}))
    with pytest.raises(InputError, match="line 1: 'span' is not text but 1"):
        read_prompts(path)
    path = tmp_path / "p.csv"
    path.write_text("prompt,scenario,span,span\na,s,,\n")
    with pytest.raises(InputError, match="line 1: the column 'span' stands twice"):
        read_prompts(path)


def test_a_file_that_marks_nothing_keeps_its_fingerprints() -> None:
    """Of this file they were so before there were marks; workspaces hold runs under them."""
    prompts = read_prompts(IPD / "prompts.jsonl")
    assert (
        prompts.fingerprint("effect")
        == "b969b605247d0c382f3f9c8f38e3978a0be481b6fa08e07980fcefd17e7c093d"
    )
    assert (
        prompts.fingerprint("correlation")
        == "63458c92629047bd86b57a207e378d1303013f7b816662cd39ca7e5f7fff67c5"
    )
    assert (
        prompts.fingerprint("correlation", "projection")
        == "847bf2e7d70f8173d88ca085fbca77f39a738daec75b6a60874af1785af87885"
    )


def test_fingerprints_of_effects_alone_see_the_marks() -> None:
    bare = replace(MARKED, span=None, corrupt_span=None)
    other = replace(MARKED, span="w5 w6 w7", corrupt_span="w8 w7")
    sets = [PromptSet((p,), "file") for p in (MARKED, bare, other)]
    assert len({s.fingerprint("effect") for s in sets}) == 3
    assert len({s.fingerprint("correlation") for s in sets}) == 1
    assert len({s.to_run_prompts()[0].id for s in sets}) == 3
    both = [MARKED, bare]
    assert PromptSet(tuple(both), "f").fingerprint("effect") == (
        PromptSet(tuple(both[::-1]), "f").fingerprint("effect")
    )


def test_copies_are_told_by_what_their_marks_align(tmp_path: Path) -> None:
    """Marks of equal lengths change nothing, so they make no second prompt."""
    loaded = load_variant(make_model("llama", tmp_path / "m"), name="m")
    equal = Prompt("w4 w5", "s", "w4 w6", "w9", "w10", span="w5", corrupt_span="w6", line=3)
    wider = replace(MARKED, span="w5 w6 w7", corrupt_span="w8 w7", line=4)
    copies = (MARKED, wider, equal, replace(equal, span=None, corrupt_span=None, line=5))
    jobs = {}
    for order in (copies, copies[::-1]):
        prompts = PromptSet(order, "file")
        for job in plan(loaded, prompts, Request()):
            jobs.setdefault(job.kind, []).append(job)
    assert [(j.duplicates, len(j.prompts)) for j in jobs["effect"]] == [(2, 2)] * 2
    assert len({job.id for job in jobs["effect"]}) == 1


# Alignment


def test_tokens_before_the_marks_align_from_the_left_and_all_others_from_the_right() -> None:
    assert encoded(MARKED).partners == (0, 1, -1, 2, 3)
    back = replace(MARKED, prompt=MARKED.corrupt, corrupt=MARKED.prompt, span="w8",
                   corrupt_span="w5 w6")  # fmt: skip
    assert encoded(back).partners == (0, 1, 3, 4)
    start = Prompt("w5 w6 w7", "s", "w8 w7", "w9", "w10", span="w5 w6", corrupt_span="w8")
    assert encoded(start).partners == (0, -1, 1, 2)
    end = Prompt("w4 w5", "s", "w4 w6 w7", "w9", "w10", span="w5", corrupt_span="w6 w7")
    assert encoded(end).partners == (0, 1, 3)


def test_the_marks_say_which_of_two_equal_words_has_the_partner() -> None:
    """Token ids alone would pair the first w5 with w5 and leave the second without."""
    repeated = Prompt("w4 w5 w5 w6", "s", "w4 w5 w6", "w9", "w10", span="w5 w5", corrupt_span="w5")
    assert encoded(repeated).partners == (0, 1, -1, 2, 3)
    outside = replace(repeated, span="w5 w6", corrupt_span="w6", prompt="w5 w4 w5 w6",
                      corrupt="w5 w4 w6")  # fmt: skip
    assert encoded(outside).partners == (0, 1, 2, -1, 3)


def test_equal_lengths_need_no_marks_and_are_not_changed_by_them() -> None:
    equal = Prompt("w4 w5 w6", "s", "w4 w7 w6", "w9", "w10")
    marked = replace(equal, span="w5", corrupt_span="w7")
    assert encoded(equal).partners is encoded(marked).partners is None
    assert encoded(marked).first_change == encoded(equal).first_change == 2


def test_a_chat_template_moves_the_marks_with_the_text() -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = (
        "{{ bos_token }} w5 {% for m in messages %}{{ m['content'] | trim }}{% endfor %} w6 w7"
    )
    row = Prompt("w5 w6 w7", "s", "w5 w8 w7", "w9", "w10", span="w6", corrupt_span="w8")
    assert encoded(row, tokenizer, chat_template=True).partners is None
    row = replace(row, corrupt="w5 w8 w9 w7", corrupt_span="w8 w9")
    assert encoded(row, tokenizer, chat_template=True).partners == (0, 1, 2, 4, 5, 6, 7)


def test_marks_without_a_token_of_their_own_are_refused_with_the_line() -> None:
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.normalizer = Replace("!", "")
    row = Prompt("w4 w5", "s", "w4 !", "w9", "w10", span="w5", corrupt_span="!", line=6)
    with pytest.raises(InputError, match=r"file\.jsonl, line 6: the marked words have no tokens"):
        encoded(row, tokenizer)


def test_marked_pairs_are_allowed_and_unmarked_ones_are_told_of_the_marks() -> None:
    bare = replace(MARKED, span=None, corrupt_span=None, line=5)
    pairs = [encoded(MARKED), encoded(bare)]
    require_equal_pairs(pairs[:1], "file")
    assert ([p.source.line for p in aligned_pairs(pairs)], len(unequal_pairs(pairs))) == ([2], 1)
    with pytest.raises(InputError, match=r"line 5 \(5 and 4 tokens\); .*span and corrupt_span"):
        require_equal_pairs(pairs, "file")


ids = st.lists(st.integers(4, 7), max_size=5)


@given(ids, ids, ids, ids)
def test_partners_rise_and_what_is_around_the_difference_maps_to_equal_tokens(
    before: list[int], span: list[int], other: list[int], after: list[int]
) -> None:
    clean, corrupt = before + span + after, before + other + after
    partners = align(clean, corrupt, len(before))
    assert len(partners) == len(clean)
    there = [j for j in partners if j >= 0]
    assert there == sorted(set(there))
    assert len(there) == len(before) + min(len(span), len(other)) + len(after)
    assert partners[: len(before)] == tuple(range(len(before)))
    if after:
        assert [corrupt[j] for j in partners[-len(after) :]] == after
        assert partners[-1] == len(corrupt) - 1
    if len(span) == len(other):
        assert partners == tuple(range(len(clean)))


def merging_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-pair merges that run across words and spaces."""
    merges = [("a", "b"), (" ", "a"), ("b", " "), ("ab", "ab"), (" ", "ab"), ("c", "ab")]
    pieces = [*"abc ", *dict.fromkeys(x + y for x, y in merges)]
    model = BPE({piece: i for i, piece in enumerate(pieces)}, merges)
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model))


letters = st.text("ab c", max_size=6)
some = st.text("abc", min_size=1, max_size=6)


MERGING = merging_tokenizer()


def ends(ids: tuple[int, ...]) -> list[int]:
    """Where each token ends in its text."""
    return list(accumulate(len(MERGING.convert_ids_to_tokens(i)) for i in ids))


@given(letters, some, some, letters)
def test_tokens_merged_across_the_border_count_as_different(
    before: str, span: str, other: str, after: str
) -> None:
    texts = (before + span + after, "s", before + other + after)
    row = Prompt(*texts, span=span, corrupt_span=other)
    assume(row.prompt.index(span) == len(before))
    found = encoded(row, MERGING)
    clean, corrupt = found.prompt, found.corrupt
    assume(len(clean) != len(corrupt))
    there = [j for j in found.partners if j >= 0]
    assert there == sorted(set(there))
    stay = [i for i, j in enumerate(found.partners) if i == j]
    assert [clean[i] for i in stay] == [corrupt[i] for i in stay]
    assert all(ends(clean)[i] <= len(before) for i in stay)
    behind = [
        sum(
            end - len(MERGING.convert_ids_to_tokens(i)) >= start
            for i, end in zip(ids, ends(ids), strict=True)
        )
        for ids, start in ((clean, len(before + span)), (corrupt, len(before + other)))
    ]
    for k in range(1, min(behind) + 1):
        if clean[-k] != corrupt[-k]:
            break
        assert found.partners[-k] == len(corrupt) - k


def test_a_word_that_merges_with_the_space_before_it_is_different_as_a_whole() -> None:
    row = Prompt("c ab c", "s", "c cc c", "a", "b", span="ab", corrupt_span="cc")
    found = encoded(row, MERGING)
    texts = [MERGING.convert_ids_to_tokens(list(side)) for side in (found.prompt, found.corrupt)]
    assert texts == [["c", " ab", " ", "c"], ["c", " ", "c", "c", " ", "c"]]
    assert found.partners == (0, 3, 4, 5)


# As a user meets it


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("llama", tmp_path_factory.mktemp("model") / "base")


def write(path: Path, prompts: list[Prompt]) -> Path:
    texts = [{k: v for k, v in vars(p).items() if v is not None and k != "line"} for p in prompts]
    path.write_text("".join(json.dumps(text) + "\n" for text in texts))
    return path


def some_pairs() -> list[Prompt]:
    made = []
    for k in range(4):
        made.append(replace(MARKED, prompt=f"w{20 + k} {MARKED.prompt}", scenario="st"[k % 2],
                            corrupt=f"w{20 + k} {MARKED.corrupt}"))  # fmt: skip
        made.append(Prompt(f"w{30 + k} w5", "st"[k % 2], f"w{30 + k} w6", "w9", "w10"))
    return made


def test_prompts_check_says_how_many_are_unequal_but_marked(base: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", some_pairs())
    said = done("prompts", "check", file, "--model", base).out
    assert "differing words marked: 4 of 8 pairs" in said
    assert "unequal lengths: 4 of 8 pairs, aligned by their marked words" in said
    assert "PROBLEM" not in said
    report = rows("prompts", "check", file, "--model", base)
    assert (report["model"]["aligned"], report["model"]["unequal"]) == ([1, 3, 5, 7], [])
    bare = [replace(p, span=None, corrupt_span=None) for p in some_pairs()[:1]]
    file = write(tmp_path / "q.jsonl", [*bare, *some_pairs()[1:]])
    answer = cli("prompts", "check", file, "--model", base)
    assert f"PROBLEM: {file}: prompt and corrupt differ in length at line 1 (" in answer.out
    assert "span and corrupt_span" in answer.out


def test_a_file_with_marks_is_ingested_and_the_marks_are_kept(base: Path, tmp_path: Path) -> None:
    file, workspace = write(tmp_path / "p.jsonl", some_pairs()), tmp_path / "w"
    done("-w", workspace, "ingest", base, "--name", "m", "--prompts", file)
    effects = rows("-w", workspace, "edges", "m", "--kind", "effect")
    assert max(abs(row["weight"]) for row in effects) > 0.01
    [run] = [run for run in list_runs(workspace / "runs") if run.kind == "effect"]
    assert {(p.span, p.corrupt_span) for p in run.prompts} == {("w5 w6", "w8"), (None, None)}
    again = done("-w", workspace, "ingest", base, "--name", "m", "--prompts", file)
    assert again.code == 0
    assert len(list_runs(workspace / "runs")) == 2


def test_runs_written_before_there_were_marks_are_read(base: Path, tmp_path: Path) -> None:
    file, workspace = write(tmp_path / "p.jsonl", some_pairs()[1::2]), tmp_path / "w"
    done("-w", workspace, "ingest", base, "--name", "m", "--prompts", file)
    [run] = [run for run in list_runs(workspace / "runs") if run.kind == "effect"]
    texts = [json.loads(line) for line in (run.path / "prompts.jsonl").read_text().splitlines()]
    old = [{k: v for k, v in text.items() if k not in ("span", "corrupt_span")} for text in texts]
    assert all(len(text) == len(whole) - 2 for text, whole in zip(old, texts, strict=True))
    (run.path / "prompts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in old))
    assert read_run(run.path).prompts == run.prompts
