"""Names and foreign errors for messages of one line."""

from __future__ import annotations

WIDEST = 48


def quoted(value: object, width: int = 60) -> str:
    """A value for a message: quoted, escaped and shortened.

    Lists and objects of JSON are only called that.
    """
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value[: 2 * width] if isinstance(value, str) else value)
    return text if len(text) <= width else text[: width - 1] + "…"


def short(value: object, width: int = WIDEST) -> str:
    """A name for a table or title: escaped and shortened.

    On one line, nothing in it that a terminal obeys or that turns text around, and cut
    in the middle: names and paths differ most at their ends.
    """
    text = str(value)
    if len(text) > 4 * width:
        text = f"{text[: 2 * width]}…{text[-2 * width :]}"
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


def first_line(error: BaseException, width: int = 200, *, kind: bool = False) -> str:
    """First line of an error of another library.

    ``kind`` puts the name of its type before it; that of a KeyError always stands there, whose
    text is but the key.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = " ".join(lines[:2]) if lines and lines[0].endswith(":") else "".join(lines[:1])
    name = type(error).__name__
    if not said:
        return name
    return f"{name}: {said[:width]}" if kind or isinstance(error, KeyError) else said[:width]
