"""What can go wrong in a run; `label` is the word that digdag puts behind the message of each kind.

DigError                 the workflow or its configuration is wrong: "… (config)"
├── RefusedError         digdag may know it, this stand-in does not
├── TemplateError        a `${…}` that does not evaluate
├── OutsideError         a path that leads out of the project: "… (illegal argument)"
├── SecretMissingError   `${secret:…}` names none that is set: "… (secret not found)"
├── CommandError         a command failed: "… (runtime)"
└── TaskFailedError      an operator says that its task failed; the message stands alone
"""

from __future__ import annotations

from typing import ClassVar


class DigError(Exception):
    """Wrong configuration, and the root of the tree."""

    label: ClassVar[str] = "config"

    @property
    def message(self) -> str:
        """The text that reaches `${error.message}` and the log."""
        return f"{self} ({self.label})" if self.label else str(self)


class RefusedError(DigError):
    """A workflow uses what this stand-in does not know."""


class TemplateError(DigError):
    """A `${…}` does not evaluate."""


class OutsideError(DigError):
    """A path leads out of the project."""

    label: ClassVar[str] = "illegal argument"


class SecretMissingError(DigError):
    """`${secret:…}` names a secret that is not set."""

    label: ClassVar[str] = "secret not found"


class CommandError(DigError):
    """A command ended without success."""

    label: ClassVar[str] = "runtime"


class TaskFailedError(DigError):
    """An operator failed its task with a message of its own."""

    label: ClassVar[str] = ""
