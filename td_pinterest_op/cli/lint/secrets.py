"""Secrets in a .dig file: the `_env` of a task, secrets in plain text, and misspelt names of secrets."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from td_pinterest_op.cli.connection import SECRETS
from td_pinterest_op.cli.lint.dig_file import DigFile, Task, Value
from td_pinterest_op.settings.types import find_nearest

# In place of the value of a secret; so short that it is not masked in messages.
PLACEHOLDER = "00"
SECRET_TEMPLATE = re.compile(r"\$\{secret:\s*([^{}\s]+)\s*\}")
_MISSPELT = re.compile(r"\$\{\s*secrets?\s*[.:]\s*([\w.-]+)\s*\}")
_LARGEST_FILE = 1_000_000


def read_task_environ(dig: DigFile, task: Task) -> Mapping[str, str]:
    """Return a task's `_env` with secrets as placeholders. Adds findings about a misplaced `_env` and wrong secrets."""
    for parent in task.parents:
        if misplaced := parent.get("_export", "_env"):
            dig.add_error(misplaced, "env", "digdag reads _env only from the task itself: move it there, next to py>")
    written = task.value.get("_env")
    environ = {}
    for name, value in written.mapping.items() if written else ():
        if name in SECRETS:
            check_plain_secret(dig, value, name=name, variable=name)
        check_secret_names(dig, value, variable=name)
        environ[name] = "" if value.value is None else SECRET_TEMPLATE.sub(PLACEHOLDER, str(value.value))
    return environ


def check_plain_secret(dig: DigFile, value: Value | None, *, name: str, variable: str) -> None:
    """Add a finding if the credential under the key `name` is plain text. `variable`: its environment variable."""
    if value and value.value not in (None, "") and "${" not in str(value.value):
        secret = SECRETS[variable]
        message = (
            f"{name} is in plain text here, for everybody who can read the workflow. Remove it, set the secret "
            f"{secret}, and write `{variable}: ${{secret:{secret}}}` under _env. Whoever has read the old value can "
            "use it: get a new one"
        )
        dig.add_error(value, "plain-secret", message)


def check_secret_names(dig: DigFile, value: Value, *, variable: str = "") -> None:
    """Add findings about misspelt secret names in `value`, the value of the environment variable `variable`, if any."""
    usual = {SECRETS[variable]} if variable in SECRETS else set()
    for template in _MISSPELT.finditer(str(value.value)):
        if not SECRET_TEMPLATE.fullmatch(template[0]):
            dig.add_error(value, "template", f"digdag does not fill in {template[0]}: write ${{secret:{template[1]}}}")
    for name in SECRET_TEMPLATE.findall(str(value.value)):
        if name == "http.uri":
            dig.add_error(
                value,
                "secret-name",
                "digdag uses a secret named http.uri as the address of every http> task: give the secret another name",
            )
        known = {*usual, *_find_secret_names(dig, value.path)}
        if name not in SECRETS.values() and (intended := _find_intended_name(name, known)):
            message = f"no other workflow of the folder uses a secret {name}: did you mean {intended}?"
            dig.add_warning(value, "secret-name", message)


def _find_secret_names(dig: DigFile, path: Path) -> Iterator[str]:
    """Yield the names of the secrets that the files of the project folder use, except the file `path`."""
    for pattern in ("*.dig", "*/*.yml", "*/*.dig"):
        for other in dig.folder.glob(pattern):
            if other != path and other.is_file() and other.stat().st_size < _LARGEST_FILE:
                yield from SECRET_TEMPLATE.findall(other.read_text(encoding="utf-8", errors="replace"))


def _find_intended_name(name: str, known: set[str]) -> str | None:
    """Return the known name that `name` misspells, or None if `name` is correct or resembles no known name."""
    words = {re.sub(r"[._-]", "", word).lower(): word for word in known}
    plain = re.sub(r"[._-]", "", name).lower()
    if name in known or plain in words:
        return None
    near = find_nearest(plain, words, cutoff=0.88)
    if not near or plain.startswith(near) or re.sub(r"\D", "", plain) != re.sub(r"\D", "", near):
        return None
    return words[near]
