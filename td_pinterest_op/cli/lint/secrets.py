"""Secrets in a .dig file: the `_env` of a task, secrets in plain text, and names that are swapped or misspelt."""

import re
from collections.abc import Mapping

from td_pinterest_op.cli.connection import SECRETS
from td_pinterest_op.cli.lint.dig_file import Block, DigFile, DigTask
from td_pinterest_op.settings.types import find_nearest, is_left_out

# In place of the value of a secret; so short that it is not masked in messages.
PLACEHOLDER = "00"
SECRET_TEMPLATE = re.compile(r"\$\{secret:\s*([^{}\s]+)\s*\}")
# What digdag takes for a variable, or for nothing: `${secrets:td.apikey}`, `${td.apikey}`, `${env.TD_API_KEY}`.
_MISSPELT = re.compile(r"\$\{\s*(?:secrets?\s*[.:]\s*([\w.-]+)|(?:env|td|pinterest)\.\w+)\s*\}")


def read_environ(dig: DigFile, task: DigTask) -> Mapping[str, str]:
    """Return a task's `_env` with placeholders for what a run fills in. Adds findings about its secrets."""
    written = task.block.get_block("_env")
    environ = {}
    for name, value in written.items():
        if name in SECRETS:
            check_secret(dig, written, name, variable=name)
        # A credential in plain text may be any word, and would be masked in every message.
        is_hidden = not is_left_out(value) and (name in SECRETS or "${" in str(value))
        environ[name] = PLACEHOLDER if is_hidden else str(value or "")
    return environ


def check_secret(dig: DigFile, block: Block, key: str, *, variable: str) -> None:
    """Add findings about the secret under `key`, which a task gets as the environment variable `variable`."""
    text = str(block[key] or "")
    usual = SECRETS[variable]
    if text.strip() and "${" not in text:
        message = (
            f"{key} is in plain text here, for everybody who can read the workflow. Remove it, set the secret {usual}, "
            f"and write `{variable}: ${{secret:{usual}}}` under _env. Whoever has read the old value can use it: get "
            "a new one"
        )
        dig.add_finding(block.places[key], "plain-secret", message)
    for template in _MISSPELT.finditer(text):
        if not SECRET_TEMPLATE.fullmatch(template[0]):
            message = f"digdag does not fill in {template[0]}: write ${{secret:{template[1] or usual}}}"
            dig.add_finding(block.places[key], "template", message)
    for secret in SECRET_TEMPLATE.findall(text):
        # A second app has secrets of its own, such as pinterest_de.client_id: the end of the name tells what it is.
        ends = [each for each, known in SECRETS.items() if _fold(secret).endswith(_fold(known.partition(".")[2]))]
        is_longer = _fold(secret).startswith(_fold(usual))  # such as pinterest.client_id_eu
        if ends and variable not in ends:
            message = f"{key} gets the secret {secret}, which is by its name the {ends[0]}: write ${{secret:{usual}}}"
            dig.add_finding(block.places[key], "secret-name", message)
        elif not ends and not is_longer and find_nearest(_fold(secret), [_fold(usual)], cutoff=0.88):
            dig.add_warning(block.places[key], "secret-name", f"the secret is {secret}: did you mean {usual}?")


def _fold(name: str) -> str:
    """Return a secret's name without its dots, dashes and underscores, in lower case."""
    return re.sub(r"[._-]", "", name).lower()
