"""What the site does differently from the files: it ends at docs/."""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to files of the checkout become their names."""
    return OUTSIDE.sub(r"\1", markdown)
