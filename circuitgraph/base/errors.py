"""Every error a user can meet (what is wrong, where, what to do), and names quoted for its line."""

from __future__ import annotations


class CircuitGraphError(Exception):
    """Base of all errors raised on purpose; the command line prints it on one line.

    Attributes
    ----------
    exit_code
        The exit status of the command line for this error.
    """

    exit_code = 1


class InputError(CircuitGraphError):
    """A file, model, adapter or table that cannot be used as it is."""


class OtherBase(InputError):
    """An adapter or model that was trained from another base."""


class ConditionMet(CircuitGraphError):
    """A condition of ``fail_on`` is met."""


class UsageError(CircuitGraphError):
    """An invalid request: an unknown name, an option that does not apply."""

    exit_code = 2


class ClusterError(CircuitGraphError):
    """The Ray cluster does not answer, has another installation, or keeps failing."""


class StoreUnreachable(CircuitGraphError):
    """The graph database does not answer."""

    exit_code = 4


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
