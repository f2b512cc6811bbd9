"""What `td-pinterest check` finds, at a line of a file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from td_pinterest_op.redaction.secret import escape_for_message


class FileLine(NamedTuple):
    """A line of a file, counted from 1."""

    path: Path
    line: int


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """A problem in a workflow, with the fix in its message. `level`: `error` or `warning`."""

    path: Path
    line: int
    code: str  # the kind of problem, such as `class`
    message: str
    level: str = field(default="error", compare=False)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.code}: {self.message}"


class Findings(dict[Finding, None]):
    """The findings of a check, each once."""

    def add(self, place: FileLine, code: str, message: str, *, level: str = "error") -> None:
        """Add a finding. `level`: `error` if a run fails or does harm, else `warning`."""
        text = escape_for_message(" ".join(message.split()))
        self[Finding(path=place.path, line=place.line, code=code, message=text, level=level)] = None
