"""`result_settings` of a task → one frozen, typed `Settings`, or one error that names every problem."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.secret import Secret
from td_pinterest_op.settings import text as setting_text
from td_pinterest_op.settings.table import ALL, AUDIENCE_ID_SETTINGS, ORDERED, SETTINGS, Action, Setting
from td_pinterest_op.settings.types import (
    ID,
    NUMERIC_CREDENTIAL,
    Show,
    WrongValueError,
    closest,
    described,
    has_lost_digits,
    is_left_out,
    shown,
)

__all__ = ["SETTINGS", "Action", "ConnectionSettings", "Setting", "Settings", "parse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """The settings that the connections to both services need."""

    client_id: Secret
    client_secret: Secret
    refresh_token: Secret
    refresh_token_secret: str | None  # the workflow secret that it came from; None when it was given in plain text
    ad_account_id: str
    retry_count: int
    retry_initial_wait_millis: int
    max_retry_wait_millis: int
    connection_timeout_secs: int
    write_timeout_secs: int
    read_timeout_secs: int
    requests_per_minute: int
    max_in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ConnectionSettings):
    """The settings of one export. A setting that the action does not use has its default here, whatever was given."""

    action: Action
    audience_id: str | None  # the one that the action needs; None for CREATE only
    audience_name: str | None  # None for all but CREATE
    audience_description: str | None
    limit_records_per_request: int
    ignore_invalid_records: bool
    dry_run: bool
    allow_empty: bool
    max_invalid_ratio: float  # 0 to 1
    min_records: int | None
    max_records: int | None
    columns: Mapping[str, str]  # name in the query, lower case → email, maid or idfa; empty: the columns are called so
    warnings: tuple[str, ...]


_BY_NAME = {key.name: key for key in SETTINGS}
_NAMES = tuple(name for key in SETTINGS for name in (key.name, key.alias) if name)
_TASK_PARAMETERS = frozenset({"job_id", "query", "database", "engine"})
_MOST_UNKNOWN_KEYS = 20
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")

_SECRET_LITERAL = re.compile(r"\$\{secret:\s*([^{}\s]*)\s*\}")
_SECRET_NAME = re.compile(r"(?!pin[ar][._])[A-Za-z_][A-Za-z0-9_.-]{0,63}")  # not a token pasted in place of a name

_LEAST_TO_WRITE = """missing; the least to write is
    result_settings:
      type: pinterest
      ad_account_id: "549755885175"
      audience_type: customer_list
      action: add_people_to_current_audience
      audience_id_add_people: "2542620905475"
    _env:
      PINTEREST_CLIENT_ID: ${secret:pinterest.client_id}
      PINTEREST_CLIENT_SECRET: ${secret:pinterest.client_secret}
      PINTEREST_REFRESH_TOKEN: ${secret:pinterest.refresh_token}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What was given under one name, read."""

    given: bool
    wrong: bool = False
    value: Any = None
    secret: str | None = None  # the workflow secret that it came from
    lost_digits: bool = False


_GivenSettings = Mapping[str, _Given]


@dataclass(frozen=True, slots=True)
class _Problems:
    """Problems by the name of the setting; a name that is not in the table comes last."""

    texts: list[tuple[int, str]] = field(default_factory=list)

    def add(self, name: str, text: str) -> None:
        position = _NAMES.index(name) if name in _NAMES else len(_NAMES)
        self.texts.append((position, f"- {name}: {text}"))

    def raise_if_any(self) -> None:
        if not self.texts:
            return
        count = f"{len(self.texts)} problem{'' if len(self.texts) == 1 else 's'}"
        in_order = (text for _, text in sorted(self.texts, key=lambda problem: problem[0]))
        raise SettingsError("\n".join([f"result_settings has {count}:", *in_order]))


def parse(raw: object, *, environ: Mapping[str, str]) -> Settings:
    """The settings that `raw` holds.

    Args:
        raw: `result_settings` as digdag hands it over: a mapping, or JSON or YAML text of one.
        environ: where credentials that are left out, and `${secret:…}` in any setting, are looked up.

    Raises:
        SettingsError: with every problem, a line each. No credential is in it, given or looked up.
    """
    problems = _Problems()
    given = _mapping(raw, problems)
    problems.raise_if_any()
    show = partial(shown, hidden=_credentials(given, environ))
    answers = {name: _answer(name, given.get(name), environ, show, problems) for name in _NAMES}
    _join_aliases(answers, problems)
    _check_names(given, show, problems)
    _check_order(answers, problems)
    action: Action | None = answers["action"].value
    audience_id = None
    if action is not None:
        _check_needed(action, answers, problems)
        audience_id = _audience_id(action, answers, problems)
    problems.raise_if_any()
    return _settings(action or Action.CREATE, audience_id, answers)


def _mapping(raw: object, problems: _Problems) -> Mapping[object, object]:
    fault = f"{described(raw)} is not a mapping"
    value = raw
    if isinstance(raw, str):
        try:
            value = setting_text.load(raw)
        except setting_text.UnreadableTextError as error:
            fault = f"{described(raw)}, which {error}"
    if isinstance(value, Mapping):
        return value
    if is_left_out(value):
        fault = _LEAST_TO_WRITE
    else:
        fault = f"{fault}; allowed: a mapping, or a string of one in JSON or YAML"
    problems.add("result_settings", fault)
    return {}


def _credentials(given: Mapping[object, object], environ: Mapping[str, str]) -> Collection[str]:
    names = [key.name for key in SETTINGS if key.is_credential]
    written = [value.strip() for value in map(given.get, names) if isinstance(value, str)]
    secrets = [f"pinterest.{name}" for name in names]
    secrets += [literal[1] for literal in map(_SECRET_LITERAL.fullmatch, written) if literal]
    looked_up = [environ.get(_variable(secret), "").strip() for secret in secrets]
    return frozenset(text for text in written + looked_up if len(text) >= 4)  # shorter ones are in any text


def _answer(name: str, raw: object, environ: Mapping[str, str], show: Show, problems: _Problems) -> _Given:
    key = _setting(name)
    try:
        value, secret = _resolved(key, raw, environ)
        if is_left_out(value):
            return _Given(given=False, value=key.default)
        read_value = key.kind.read(value, described if secret else show)
    except _MissingSecretError as missing:
        fault = str(missing)
    except WrongValueError as wrong:
        fault = f"{wrong}; allowed: {key.kind.allowed}"
    else:
        lost = key.kind in (ID, NUMERIC_CREDENTIAL) and has_lost_digits(value)
        return _Given(given=True, value=read_value, secret=secret, lost_digits=lost)
    problems.add(name, fault)
    return _Given(given=True, wrong=True)


def _setting(name: str) -> Setting:
    return _BY_NAME.get(name) or next(key for key in SETTINGS if key.alias == name)


class _MissingSecretError(Exception):
    """A workflow secret is not in the environment."""


def _resolved(key: Setting, raw: object, environ: Mapping[str, str]) -> tuple[object, str | None]:
    """The value and the workflow secret that it came from, if it did."""
    secret = None
    if is_left_out(raw) and key.is_credential:
        secret = f"pinterest.{key.name}"
    elif isinstance(raw, str) and "${secret:" in raw:
        literal = _SECRET_LITERAL.fullmatch(raw.strip())
        if not literal or not _SECRET_NAME.fullmatch(literal[1]):
            raise WrongValueError("a secret must be the whole value, and its name letters, digits, dots and dashes")
        secret = literal[1]
    if secret is None:
        return raw, None
    variable = _variable(secret)
    value = environ.get(variable, "")
    if not value.strip():
        state = "empty" if variable in environ else "missing"
        raise _MissingSecretError(
            f"missing: {variable} is {state} in the environment; set the workflow's secret {secret} and add this line "
            f"under _env: of the task: {variable}: ${{secret:{secret}}}"
        )
    return value, secret


def _variable(secret: str) -> str:
    return re.sub(r"[.-]", "_", secret).upper()


def _join_aliases(answers: dict[str, _Given], problems: _Problems) -> None:
    for key in SETTINGS:
        if key.alias is None or not answers[key.alias].given:
            continue
        _check_same(key.name, key.alias, answers, problems)
        if not answers[key.name].given:
            answers[key.name] = replace(answers[key.alias], given=False)  # warnings name what the author wrote


def _check_same(name: str, other: str, answers: _GivenSettings, problems: _Problems) -> None:
    first, second = answers[name], answers[other]
    if first.given and second.given and not first.wrong and not second.wrong and first.value != second.value:
        problems.add(name, f"conflicts with {other}, which says otherwise; allowed: one of the two, or both alike")


def _check_names(given: Mapping[object, object], show: Show, problems: _Problems) -> None:
    unknown = [name for name in given if name not in _NAMES]
    for name in unknown[:_MOST_UNKNOWN_KEYS]:
        if not isinstance(name, str):
            problems.add("a key", f"{described(name)} is not a key's name; allowed: text")
        elif name in _TASK_PARAMETERS:
            problems.add(name, "is not a key of result_settings; it belongs on the task, beside result_settings")
        else:
            label = show(name)
            is_plain = _PLAIN_NAME.fullmatch(name) and label == repr(name)
            problems.add(name if is_plain else f"a key ({label})", f"is unknown{closest(name, _NAMES)}")
    if len(unknown) > _MOST_UNKNOWN_KEYS:
        problems.add("more keys", f"{len(unknown) - _MOST_UNKNOWN_KEYS} more are unknown")


def _check_order(answers: _GivenSettings, problems: _Problems) -> None:
    for lesser, greater in ORDERED:
        least, most = answers[lesser].value, answers[greater].value
        # A least value that is a default gives way to the most that is allowed.
        if least is not None and most is not None and least > most and answers[lesser].given:
            problems.add(
                greater, f"is less than {lesser}{_of_default(answers, lesser, greater)}; allowed: {lesser} or more"
            )


def _of_default(answers: _GivenSettings, *names: str) -> str:
    """Which of two settings in conflict was not written by the author, and so cannot be seen in the workflow."""
    return "".join(f"; {name} is {_setting(name).default_text} by default" for name in names if not answers[name].given)


def _check_needed(action: Action, answers: _GivenSettings, problems: _Problems) -> None:
    for key in SETTINGS:
        if action in key.needed_by and not answers[key.name].given and key.name not in AUDIENCE_ID_SETTINGS.values():
            reason = "" if key.needed_by == ALL else f", and {action.value} needs it"
            problems.add(key.name, f"missing{reason}; allowed: {key.kind.allowed}")


def _audience_id(action: Action, answers: _GivenSettings, problems: _Problems) -> str | None:
    if action not in AUDIENCE_ID_SETTINGS:
        return None
    name = AUDIENCE_ID_SETTINGS[action]
    own, plain = answers[name], answers["audience_id"]
    _check_same(name, "audience_id", answers, problems)
    if not own.given and not plain.given:
        problems.add(name, f"missing, and {action.value} needs it (or audience_id); allowed: {ID.allowed}")
    value: str | None = own.value if own.given else plain.value
    return value


def _settings(action: Action, audience_id: str | None, answers: _GivenSettings) -> Settings:
    names = {each.name for each in fields(Settings)} & _BY_NAME.keys()
    values: dict[str, Any] = {
        name: answers[name].value if action in _BY_NAME[name].used_by else _BY_NAME[name].default for name in names
    }
    values |= {key.name: Secret(values[key.name]) for key in SETTINGS if key.is_credential}
    values |= {
        "refresh_token_secret": answers["refresh_token"].secret,
        "audience_id": audience_id,
        "warnings": _warnings(action, answers),
    }
    return Settings(**values)


def _warnings(action: Action, answers: _GivenSettings) -> tuple[str, ...]:
    unused = [name for name in _NAMES if answers[name].given and action not in _setting(name).used_by]
    damaged = [name for name in _NAMES if answers[name].lost_digits]
    findings = (
        (f"{action.value} does not use these settings", unused),
        ("digdag may have changed the last digits of these numbers over 2^53; put them in quotes", damaged),
    )
    return tuple(f"{text}: {', '.join(names)}" for text, names in findings if names)
