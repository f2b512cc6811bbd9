"""The `_env` of a task: the variables that it sets, secrets in plain text, and names that look misspelt."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from td_pinterest_op.cli.credentials import SECRETS
from td_pinterest_op.cli.lint.dig_file import DigFile, Value
from td_pinterest_op.cli.lint.tasks import Task

# For the value of a secret; no message holds it.
STAND_IN = "0-stand-in-0"
_SECRET = re.compile(r"\$\{secret:\s*([^{}\s]+)\s*\}")


def environ_of(dig: DigFile, task: Task) -> Mapping[str, str]:
    """The environment of the task: each variable of its `_env`, secrets with a stand-in for a value."""
    for parent in task.parents:
        if misplaced := parent.get("_export", "_env"):
            message = "digdag reads _env from the task itself: move it there, beside py>"
            dig.find(misplaced, "env", message)
    given = task.value.get("_env")
    environ = {}
    for name, value in given.mapping.items() if given else ():
        text = "" if value.value is None else str(value.value)
        _check(dig, name, value, text)
        environ[name] = _SECRET.sub(STAND_IN, text)
    return environ


def plain_secret(variable: str, secret: str) -> str:
    """What to do about a credential in plain text."""
    return (
        f"it stands here in plain text, for everybody who can read the workflow: take it out, set the secret {secret}, "
        f"and write `{variable}: ${{secret:{secret}}}` under _env. Whoever has read it can use it: get a new one"
    )


def _check(dig: DigFile, variable: str, value: Value, text: str) -> None:
    if variable in SECRETS and text and "${" not in text:
        dig.find(value, "plain-secret", f"{variable}: {plain_secret(variable, SECRETS[variable])}")
    for name in _SECRET.findall(text):
        usual = {SECRETS[variable]} if variable in SECRETS else set()
        if near := _meant(name, {*usual, *_others(dig, value.path)}):
            message = f"no other workflow of the folder has a secret {name}: did you mean {near}?"
            dig.find(value, "secret-name", message, error=False)


def _others(dig: DigFile, here: Path) -> Iterator[str]:
    """The names of secrets in the other files of the project."""
    for pattern in ("*.dig", "*/*.yml", "*/*.dig"):
        for path in dig.folder.glob(pattern):
            if path != here and path.is_file() and path.stat().st_size < 1_000_000:
                yield from _SECRET.findall(path.read_text(encoding="utf-8", errors="replace"))


def _meant(name: str, known: set[str]) -> str | None:
    """The known name that `name` is a misspelling of: not one of another style, nor of a second account."""
    words = {re.sub(r"[._-]", "", word).lower(): word for word in known}
    plain = re.sub(r"[._-]", "", name).lower()
    if name in known or plain in words:
        return None
    near = difflib.get_close_matches(plain, words, n=1, cutoff=0.88)
    if not near or plain.startswith(near[0]) or re.sub(r"\D", "", plain) != re.sub(r"\D", "", near[0]):
        return None
    return words[near[0]]
