"""Single values of `result_settings`: each is read by the type of its setting, or looked up as a secret."""

import re
from collections.abc import Collection, Mapping

from td_pinterest_op.settings.parsed_settings import ParsedSettings, ParsedValue
from td_pinterest_op.settings.setting import Setting, Table
from td_pinterest_op.settings.types import Show, WrongValueError, describe, has_lost_digits, is_left_out

_SECRET_LITERAL = re.compile(r"\$\{secret:([^{}]*)\}")
_SECRET_NAME = re.compile(r"(?!pin[ar][._])[A-Za-z_][A-Za-z0-9_.-]{0,63}")  # not a token in place of a name


class _MissingSecretError(Exception):
    """The environment does not contain a workflow secret."""


def read_value(
    parsed: ParsedSettings, name: str, key: Setting, raw: object, *, environ: Mapping[str, str], show: Show
) -> ParsedValue:
    """Return the value of a key that is given under this name or alias. Adds a problem if it is wrong."""
    try:
        secret = _find_secret_name(key, raw)
        if secret is not None:
            raw, show = _look_up_secret(secret, environ), describe
        if is_left_out(raw):
            return ParsedValue(is_given=False, value=key.default)
        value = key.type.read(raw, show)
    except _MissingSecretError as missing:
        parsed.add_problem(name, str(missing), code="environment")
        return ParsedValue(is_given=True)
    except WrongValueError as wrong:
        parsed.add_problem(name, f"{wrong}; allowed: {key.type.allowed}")
        return ParsedValue(is_given=True)
    lost = key.type.is_id and secret is None and has_lost_digits(raw)
    return ParsedValue(is_given=True, value=value, secret=secret, lost_digits=lost)


def find_credentials(settings: Mapping[object, object], table: Table, environ: Mapping[str, str]) -> Collection[str]:
    """Return the credentials that the settings contain or refer to, which no message may show."""
    keys = [key for key in table.settings if key.is_credential]
    written = [value.strip() for value in (settings.get(key.name) for key in keys) if isinstance(value, str)]
    secrets = [key.secret for key in keys]
    secrets += [literal[1].strip() for literal in map(_SECRET_LITERAL.fullmatch, written) if literal]
    values = [environ.get(_build_variable_name(secret), "").strip() for secret in secrets]
    return frozenset(text for text in written + values if len(text) >= 4)  # shorter ones are part of any text


def _find_secret_name(key: Setting, raw: object) -> str | None:
    """Return the name of the workflow secret from which a value comes, None without one."""
    if is_left_out(raw) and key.is_credential:
        return key.secret
    if not isinstance(raw, str) or "${secret:" not in raw:
        return None
    literal = _SECRET_LITERAL.fullmatch(raw.strip())
    if not literal or not _SECRET_NAME.fullmatch(literal[1].strip()):
        raise WrongValueError(
            "the reference to a secret must be the whole value, and the secret's name may contain only letters, "
            "digits, dots and dashes"
        )
    return literal[1].strip()


def _look_up_secret(secret: str, environ: Mapping[str, str]) -> str:
    """Return the value of a workflow secret. Raises _MissingSecretError if the environment lacks it."""
    variable = _build_variable_name(secret)
    value = environ.get(variable, "")
    if not value.strip():
        state = "empty" if variable in environ else "missing"
        raise _MissingSecretError(
            f"{variable} is {state} in the environment; set the workflow's secret {secret}, and give it to "
            f"the task as {variable}, under its _env (config/environment.yml has such lines)"
        )
    return value


def _build_variable_name(secret: str) -> str:
    """Return the environment variable of a workflow secret."""
    return re.sub(r"[.-]", "_", secret).upper()
