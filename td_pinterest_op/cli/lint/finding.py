"""What the linter says: one finding, and its forms on a screen and in a pull request."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One problem and its cure. `line` counts from 1. An `error` ends a run or does harm; a warning may be wanted."""

    path: Path
    line: int
    code: str
    message: str
    is_error: bool = field(default=True, compare=False)

    def text(self) -> str:
        """`path:line: code: message`, on one line."""
        return f"{self.path}:{self.line}: {self.code}: {' '.join(self.message.split())}"

    def to_json(self) -> dict[str, object]:
        """The finding for programs."""
        return {
            "path": str(self.path),
            "line": self.line,
            "code": self.code,
            "level": "error" if self.is_error else "warning",
            "message": self.message,
        }

    def github(self) -> str:
        """The finding as a command of GitHub Actions, which shows it beside the line."""
        kind = "error" if self.is_error else "warning"
        path = _escaped(str(self.path)).replace(":", "%3A").replace(",", "%2C")
        return f"::{kind} file={path},line={self.line},title={self.code}::{_escaped(self.message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
