"""Arguments of Python as options of the command line.

The library names its arguments as Python does, between two backticks on either side as docstrings
do: ````scope="recipe"````. On the command line they are read as ``--scope recipe``. One backtick
is other people's: names in Cypher, arguments in warnings of transformers, columns of files.
"""

from __future__ import annotations

import re

_ARGUMENT = re.compile(r"``([a-z][a-z0-9]*(?:_[a-z0-9]+)*)(?:=(?:\"([^`\"]*)\"|([^`]*)))?``")


def in_flags(text: str) -> str:
    """A sentence of the library in the words of the command line.

    Examples
    --------
    >>> in_flags('leave ``shared_basis`` out, or use ``form="functional"``')
    'leave --shared-basis out, or use --form functional'
    """
    return _ARGUMENT.sub(_flag, text)


def _flag(found: re.Match[str]) -> str:
    name, quoted, value = found.groups()
    flag = "--" + name.replace("_", "-")
    given = quoted if quoted is not None else value
    return flag if given is None else f"{flag} {given}"
