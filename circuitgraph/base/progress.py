"""Progress and remarks on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """A progress bar, or nothing without a terminal."""

    bar: Any = None

    def advance(self, steps: int) -> None:
        """Advance by some steps."""
        if self.bar is not None:
            self.bar.update(steps)


@dataclass(frozen=True)
class Reporter:
    """Output of remarks, warnings and progress.

    Attributes
    ----------
    quiet
        Say nothing but warnings.
    words
        How a line is put for whom it is; as it is, by default.
    """

    quiet: bool = True
    words: Callable[[str], str] = str

    def remark(self, text: str) -> None:
        """Print a remark unless quiet."""
        if not self.quiet:
            _above_bars(self.words(text))

    def warn(self, text: str) -> None:
        """Print a warning, also when quiet."""
        _above_bars(self.words(f"warning: {text}"))

    @contextmanager
    def progress(self, total: int, label: str, unit: str = "prompt") -> Iterator[Progress]:
        """Context with a progress bar of ``total`` steps in ``unit``."""
        if self.quiet:
            yield Progress()
            return
        from tqdm import tqdm

        with tqdm(
            total=total, desc=label, unit=unit, file=sys.stderr, leave=False, disable=None
        ) as bar:
            yield Progress(bar)

    def each(self, items: Iterable[T], total: int, label: str, unit: str) -> Iterator[T]:
        """The items, with a progress bar that counts them."""
        with self.progress(total, label, unit) as bar:
            for item in items:
                yield item
                bar.advance(1)


def _above_bars(text: str) -> None:
    """Print a line on stderr, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def human_bytes(count: float) -> str:
    """``1.5 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def human_seconds(seconds: float) -> str:
    """``about 40 s``, ``about 3 min``, ``about 2.5 h``, ``under a second``."""
    if seconds < 1:
        return "under a second"
    if seconds < 100:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 6000 else f"about {seconds / 3600:.1f} h"
