"""The environment that a task's `_env` gives it, and the secrets that it names."""

import re
from collections.abc import Mapping

from td_pinterest_op.cli.connection import PINTEREST_SECRETS, SECRETS
from td_pinterest_op.cli.lint.dig_file import Block, DigFile, DigTask
from td_pinterest_op.settings.table import build_variable_name
from td_pinterest_op.settings.types import find_nearest, is_left_out

# In place of the value of a secret; so short that it is not masked in messages.
PLACEHOLDER = "00"
SECRET_TEMPLATE = re.compile(r"\$\{secret:\s*([^{}\s]+)\s*\}")
# What digdag takes for a variable, or for nothing: `${secrets:td.apikey}`, `${td.apikey}`, `${env.TD_API_KEY}`.
_MISSPELT = re.compile(r"\$\{+\s*(?:secrets?\s*[.:]\s*([\w.-]+)|(?:env|td|pinterest)\.\w+)\s*\}+", re.IGNORECASE)


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
    """Add findings if `block[key]` is a plain secret, a misspelt reference, or refers to another kind of secret.

    `variable`: the environment variable through which the task gets the secret.
    """
    text = str(block[key] or "")
    usual = SECRETS[variable]
    if "secret:" in text and "${" not in text:
        message = f"digdag does not fill in {text.strip()}: write ${{secret:{usual}}}"
        dig.add_finding(block.places[key], "template", message)
    elif text.strip() and "${" not in text and variable != build_variable_name("pinterest.client_id"):  # no secret
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
    head, _, kind = usual.partition(".")
    others = SECRET_TEMPLATE.findall(" ".join(map(str, block.values())))
    is_usual_style = not set(others).isdisjoint(map(SECRETS.__getitem__, PINTEREST_SECRETS))
    for secret in SECRET_TEMPLATE.findall(text):
        # A second app has secrets of its own, such as pinterest_de.client_id: the end of the name tells what it is.
        name = _fold(secret)
        ends = [each for each, end in _KINDS.items() if name.endswith(end)]
        if ends and variable not in ends:
            message = f"{key} gets the secret {secret}, which is by its name the {ends[0]}: write ${{secret:{usual}}}"
            dig.add_finding(block.places[key], "secret-name", message)
            continue
        if name == _fold(usual):
            is_misspelt = secret != usual and is_usual_style
        elif head in name and _fold(kind) in name:
            is_misspelt = name[:-1] == _fold(usual) and name[-1].isalpha()
        else:
            is_misspelt = bool(find_nearest(name, [_fold(usual)], cutoff=0.85))
        if is_misspelt:
            dig.add_warning(block.places[key], "secret-name", f"the secret is {secret}: did you mean {usual}?")


def _fold(name: str) -> str:
    """Return a secret's name without its dots, dashes and underscores, in lower case."""
    return re.sub(r"[._-]", "", name).lower()


# With what the name of a secret ends, by what it is.
_KINDS = {variable: _fold(secret.partition(".")[2]) for variable, secret in SECRETS.items()}
_KINDS["access token, which expires"] = "accesstoken"
