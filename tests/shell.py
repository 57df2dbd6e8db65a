"""The command line as a user meets it, in this process: words in, stdout, stderr, exit code."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitgraph.cli import run

ROOT = Path(__file__).resolve().parents[1]
IPD = ROOT / "examples" / "ipd"


@dataclass(frozen=True)
class Answer:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> Any:
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line of an error."""
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        assert "Traceback" not in self.err
        assert len(lines[0]) < 1100
        return lines[0]


def cli(*words: object) -> Answer:
    """Run ``circuitgraph WORDS``."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([str(word) for word in words])
    return Answer(code, out.getvalue(), err.getvalue())


def done(*words: object) -> Answer:
    """Run what must succeed."""
    answer = cli(*words)
    assert answer.code == 0, answer.err
    return answer


def rows(*words: object) -> Any:
    """The rows of a command as JSON."""
    return done("--json", "--quiet", *words).rows


def jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A prompt file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path
