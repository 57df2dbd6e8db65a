"""Files gone wrong: bytes, JSON values and safetensors headers changed at random."""

from __future__ import annotations

import json
import random
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 7, 1.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", " ", "x", "x" * 3000, "\u202e", "\x00", "\ud800", "\n", "../../x", "NaN", "-1", "w5"),
    *([], {}, [[]], [None], {"a": {}}, ["x", "x"], [1, "x"]),
)
"""Values that stand where others belong; numbers stay small, or a model of that size is built."""

JUNK = (
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b'"',
    b"'",
    b",",
    b";",
    b"{",
    b"}",
    b"[",
)
JUNK = (*JUNK, b"]", b"\t", b"\\", b"NaN", b"1e999", b"-0", b"\xe2\x80\xa8", b"PK\x03\x04", b"null")


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    """One to three cuts, copies, insertions, flipped bits or lost ends."""
    for _ in range(chance.randint(1, 3)):
        i, j = sorted(chance.randint(0, len(data)) for _ in range(2))
        j = min(j, i + 40)
        kind = chance.randrange(5)
        if kind == 0:
            data = data[:i] + data[j:]
        elif kind == 1:
            data = data[:j] + data[i:j] + data[j:]
        elif kind == 2:
            data = data[:i] + chance.choice(JUNK) + data[i:]
        elif kind == 3 and data:
            at = chance.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        elif kind == 4:
            data = data[:j]
    return data


def changed_json(value: Any, chance: random.Random) -> Any:
    """The value with one part replaced, removed, added or doubled."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        kind = chance.randrange(8)
        if kind == 0:
            return {k: v for k, v in value.items() if k != key}
        if kind == 1:
            return {**value, chance.choice(("x", "", "__class__", "\u202e")): chance.choice(ODD)}
        return {**value, key: changed_json(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        kind = chance.randrange(6)
        if kind == 0:
            return value[:at] + value[at + 1 :]
        if kind == 1:
            return [*value, value[at]]
        return [*value[:at], changed_json(value[at], chance), *value[at + 1 :]]
    return chance.choice(ODD)


def changed_record(text: str, chance: random.Random) -> bytes:
    """A JSON file with one value, or some bytes, changed."""
    if chance.random() < 0.2:
        return changed_bytes(text.encode(), chance)
    return json.dumps(changed_json(json.loads(text), chance)).encode()


def changed_tensors(data: bytes, chance: random.Random) -> bytes:
    """A safetensors file with its header, its header's length or its bytes changed."""
    size = int.from_bytes(data[:8], "little")
    kind = chance.randrange(4)
    if kind == 0:
        return changed_bytes(data, chance)
    if kind == 1:
        length = chance.choice((0, 1, size - 1, size + 1, 1 << 40, (1 << 64) - 1))
        return length.to_bytes(8, "little") + data[8:]
    header = json.loads(data[8 : 8 + size])
    text = json.dumps(changed_json(header, chance)).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]
