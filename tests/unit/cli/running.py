"""Runs `td-pinterest` in this process."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from td_pinterest_op.cli.program import run
from tests import guard


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    def failed(self, said: str, *, code: int = 1) -> bool:
        """Whether it ended with that code, printed no result, and said so on standard error."""
        return (code, "") == (self.code, self.out) and said in self.err


# Compares what a command printed with a file.
Recorded = Callable[[Ran, str], None]


class Terminal:
    """Calls commands, and fails a test in which one prints a person or a secret."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: object) -> Ran:
        self._capture.readouterr()
        code = run(list(map(str, arguments)))
        out, err = self._capture.readouterr()
        guard.check(out + err, "the output of the command")
        return Ran(code=code, out=out, err=err)
