"""Every bad prompt file is refused in one line that names the place."""

# ruff: noqa: E501  (a case a line reads best)

from __future__ import annotations

import contextlib
import json
import pickle
import zipfile
from pathlib import Path

import pytest

from circuitgraph.base.errors import InputError
from circuitgraph.prompts import read_prompts

GOOD = {"prompt": "p", "scenario": "s", "corrupt": "c", "answer": "x", "wrong_answer": "y"}


def lines(*rows: dict | str | bytes) -> bytes:
    texts = (json.dumps(row) if isinstance(row, dict) else row for row in (GOOD, *rows))
    return b"\n".join(text.encode() if isinstance(text, str) else text for text in texts)


def without(*names: str) -> dict:
    return {k: v for k, v in GOOD.items() if k not in names}


JSONL = {
    "not JSON": (lines("{"), "line 2: not valid JSON"),
    "not an object": (lines("[1]"), "line 2: not an object"),
    "NaN": (lines('{"prompt": "NaN", "scenario": "s", "note": NaN}'), "line 2: NaN is not a"),
    "Infinity": (lines('{"scenario": -Infinity}'), "line 2: -Infinity is not a number"),
    "endless scenario": (lines('{"prompt": "p", "scenario": 1e999}'), "line 2: 'scenario' is not text"),
    "deep nesting": (lines("[" * 100_000), "line 2: not valid JSON here (nested too"),
    "huge number": (lines('{"scenario": ' + "9" * 5000 + "}"), "line 2: not valid JSON here"),
    "a key twice": (lines('{"prompt": "a", "prompt": "b"}'), "line 2: .*'prompt' stands twice"),
    "no prompt": (lines(without("prompt")), "line 2: no 'prompt'"),
    "no scenario": (lines(without("scenario")), "line 2: no 'scenario'"),
    "no answer": (lines(without("answer")), "line 2: no 'answer'.*together"),
    "a misspelt prompt": (lines({"promt": "p", "scenario": "s"}), "line 2: no 'prompt' .*'promt' meant to be 'prompt'"),
    "no scenario at all": (lines(without("scenario")), 'put the same word on all, "scenario": "all"'),
    "a misspelt answer": (lines(without("answer") | {"anwser": "x"}), "line 2: no 'answer' .*'anwser' meant"),
    "a misspelt corrupt": (lines(without("corrupt") | {"corupt": "c"}), "line 2: no corrupt .*'corupt' meant"),
    "an answer on both sides": (
        lines(GOOD | {"answer": ["y", "z"]}),
        "line 2: answer and wrong_answer are both 'y'; they must differ",
    ),
    "an answer twice": (lines(GOOD | {"answer": ["x", "x"]}), "line 2: 'x' stands twice in answer"),
    "a number among answers": (
        lines(GOOD | {"answer": ["x", 4]}),
        "line 2: 'answer' is not text but 4; put it in quotes",
    ),
    "some without a pair": (
        lines(without("corrupt", "answer", "wrong_answer")),
        "line 2: no answer.*line 1 has one.*every row or in none",
    ),
    "empty prompt": (lines(GOOD | {"prompt": ""}), "line 2: 'prompt' is empty"),
    "null scenario": (lines(GOOD | {"scenario": None}), "line 2: 'scenario' is empty"),
    "white prompt": (lines(GOOD | {"prompt": " \n"}), "line 2: 'prompt' holds only white space"),
    "white answer": (lines(GOOD | {"answer": " "}), "line 2: 'answer' holds only white space"),
    "number for text": (lines(GOOD | {"prompt": 3}), "line 2: 'prompt' is not text but 3"),
    "list for text": (lines(GOOD | {"prompt": ["p"]}), "line 2: 'prompt' is not text but a list"),
    "bool for scenario": (lines(GOOD | {"scenario": True}), "line 2: 'scenario' is not text"),
    "half a character": (lines(GOOD | {"prompt": "\ud800"}), "line 2: 'prompt' holds half a"),
    "bad bytes": (lines(b'{"prompt": "\xff"}'), "line 2: byte 0xff is not UTF-8"),
    "direction 0": (lines(GOOD | {"direction": 0}), "line 2: 'direction' is 0; it must be 1, -1"),
    "direction true": (lines(GOOD | {"direction": True}), "line 2: 'direction' is True"),
    "direction up": (lines(GOOD | {"direction": "up"}), "line 2: 'direction' is 'up'"),
    "direction list": (lines(GOOD | {"direction": []}), "line 2: 'direction' is a list"),
    "identical answers": (lines(GOOD | {"answer": "y"}), "line 2: answer and wrong_answer are"),
    "an id twice": (
        lines(GOOD | {"id": "i", "prompt": "q"}, GOOD | {"id": "i"}),
        "line 3: the id 'i' already names another prompt on line 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", JSONL)
def test_bad_jsonl(tmp_path: Path, name: str) -> None:
    data, message = JSONL[name]
    check(tmp_path / "p.jsonl", data, message)


CSV = {
    "a misspelt column": (
        b"Prompts,scenario\na,b\n",
        "line 1: no column 'prompt' .*'Prompts' meant",
    ),
    "no column": (b"prompt,scene\na,b\n", "line 1: no column 'scenario'.*prompt, scene"),
    "semicolons": (b"prompt;scenario\na;b\n", "line 1: columns must be separated by commas"),
    "a column twice": (b"prompt,scenario,prompt\na,b,c\n", "line 1: the column 'prompt' stands tw"),
    "ragged": (b'prompt,scenario\n"a\nb",s\na,b,c\n', "line 4: 3 cells under 2 column names"),
    "open quote": (b'prompt,scenario\na,s\n"a,s\nb,s\n', "line 3: not valid CSV"),
    "early quote": (b'prompt,scenario\n"a"b,s\n', "line 2: not valid CSV"),
    "empty cell": (b"prompt,scenario\n,s\n", "line 2: 'prompt' is empty"),
    "bad bytes": (b'prompt,scenario\n"a\nb",s\nc,\xe9\n', "line 4: byte 0xe9 is not UTF-8"),
    "direction": (b"prompt,scenario,direction\na,s,1\nb,s,2\n", "line 3: 'direction' is '2'"),
    "half a pair": (
        b"prompt,scenario,corrupt,answer,wrong_answer\na,s,c,x,\n",
        "line 2: no 'wrong_answer'",
    ),
    "only a header": (b"prompt,scenario\n", "holds no prompts"),
    "blank": (b"\n\n", "no header line"),
}


@pytest.mark.parametrize("name", CSV)
def test_bad_csv(tmp_path: Path, name: str) -> None:
    data, message = CSV[name]
    check(tmp_path / "p.csv", data, message)


def test_files_that_are_something_else(tmp_path: Path) -> None:
    for protocol in range(2, 6):
        check(tmp_path / "p.jsonl", pickle.dumps([GOOD], protocol), "this is a pickle")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("x.npy", "x")
    check(tmp_path / "p.csv", (tmp_path / "p.zip").read_bytes(), "this is a zip archive")
    check(tmp_path / "p.csv", "prompt".encode("utf-16"), "this is text in UTF-16")
    check(tmp_path / "p.jsonl", b"", "the file is empty")
    check(tmp_path / "p.jsonl", b"\n \n", "holds no prompts")
    check(tmp_path / "p.txt", b"{}", "extension '.txt' is not known.*reads prompts from .jsonl")
    check(tmp_path / "p.json", b"[]", "extension '.json' is not known")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_prompts(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="not a file"):
        read_prompts(tmp_path / "folder.csv")
    with pytest.raises(InputError, match=r"cannot be opened|no such file"):
        read_prompts("a\0b.csv")


def test_every_truncation_is_read_or_refused(tmp_path: Path) -> None:
    header = b"prompt,scenario,corrupt,answer,wrong_answer\n"
    for suffix, whole in ((".jsonl", lines(GOOD)), (".csv", header + '"é\n",s,c,x,y\n'.encode())):
        path = tmp_path / f"p{suffix}"
        for end in range(len(whole)):
            path.write_bytes(whole[:end])
            with contextlib.suppress(InputError):
                assert 1 <= len(read_prompts(path)) <= 2


def check(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    message = message.replace("(", r"\(")
    with pytest.raises(InputError, match=message) as caught:
        read_prompts(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert len(text) < len(str(path)) + 200
