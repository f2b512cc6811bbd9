"""The checks of `td-pinterest doctor`: each says what it found and what to do, and leaves the others alone."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from td_pinterest_op.audiences.actions import parse
from td_pinterest_op.audiences.audiences import Audiences
from td_pinterest_op.cli.check import findings
from td_pinterest_op.cli.connection import PINTEREST_SECRETS, SECRETS, Credentials
from td_pinterest_op.errors import AccountError, ExportError
from td_pinterest_op.http.retry import server_time
from td_pinterest_op.pinterest.models import WRITERS, AdAccount
from td_pinterest_op.pinterest.oauth import WRONG_APP_CODE, Tokens, find_missing_scopes
from td_pinterest_op.pinterest.rate_limit import parse_quotas
from td_pinterest_op.records.plan import TOLERATED_SHARE, check_value_kind
from td_pinterest_op.run_history.columns import NAMES
from td_pinterest_op.runtime.clock import SYSTEM
from td_pinterest_op.settings.table import ExpectedValues
from td_pinterest_op.settings.types import TABLE, WrongValueError, is_left_out, show_value
from td_pinterest_op.stats import Condition, Stats, condition_of
from td_pinterest_op.treasure_data.api import TreasureData, path_of
from td_pinterest_op.treasure_data.job import wait_for_job
from td_pinterest_op.treasure_data.result import JobResult
from td_pinterest_op.withholding.preparation import open_reader
from td_pinterest_op.workflow import task as workflow_task
from td_pinterest_op.workflow.services import Services, read_endpoints

OK, WARNING, ERROR = "ok", "warning", "error"
_DAY = 86_400.0
_SOON = 14 * _DAY
# Seconds by which clocks may differ before anything suffers.
_SKEW = 120.0
_SAMPLE = 1_000
# The HTTP status of an answer that refuses a credential.
_REFUSED = 401
# What Treasure Data calls rights that do not let a user make a table and insert rows.
_MAY_NOT_WRITE = frozenset({"query_only", "import_only"})
# What the settings of an export need besides those about its rows.
_ANY_EXPORT = {
    "type": "pinterest",
    "ad_account_id": "1",
    "audience_type": "customer_list",
    "action": "add_people_to_current_audience",
    "audience_id": "1",
}
_NOT_CHECKED = "not checked: "
# What to do about an error of these checks, in place of the error's own advice.
_ADVICE = {
    "endpoints": "correct the variables, or unset them for the defaults",
    "workflow": "name an existing .dig file",
}


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found; `advice` is empty when there is nothing to do."""

    status: str
    message: str
    advice: str = ""


@dataclass(kw_only=True)
class Subject:
    """What is checked. `params`: those of a task with rows to judge, if any. `history`: a task's database, and a table.

    `account` is the ad account once its check has found it. `stack` closes what was opened.
    """

    credentials: Credentials
    account_id: str | None
    audience_id: str | None
    params: Mapping[str, Any]
    workflow: Path | None
    history: tuple[str | None, object] = (None, None)
    account: AdAccount = field(init=False)
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @cached_property
    def services(self) -> Services:
        """Both services."""
        return self.stack.enter_context(self.credentials.services())


def examine(subject: Subject) -> Iterator[tuple[str, Check]]:
    """The checks that apply, by their names; one that needs another that failed or was not made is a warning."""
    failed: dict[str, str] = {}  # to where it began
    for name, needs, look in _LOOKS:
        if (name == "rows" and not subject.params) or (name == "workflow" and not subject.workflow):
            continue
        cause = next((failed[need] for need in needs if need in failed), None)
        try:
            check = _skipped(f"see {cause}") if cause else look(subject)
        except ExportError as failure:
            check = Check(ERROR, str(failure), _ADVICE.get(name) or _advice(failure, subject.credentials))
        if check is None:
            continue
        if check.status == ERROR or check.message.startswith(_NOT_CHECKED):
            failed[name] = cause or name
        yield name, check


def _advice(failure: ExportError, held: Credentials) -> str:
    """What to do about an error; about a credential that Pinterest refuses, according to where it was found."""
    if isinstance(failure, AccountError) and failure.status == _REFUSED:
        return held.app_advice if failure.code == WRONG_APP_CODE else held.token_advice
    return failure.advice


def _skipped(because: str) -> Check:
    return Check(WARNING, _NOT_CHECKED + because, "fix that first")


def _credentials(held: Credentials) -> Check:
    """Pinterest's credentials; Treasure Data's key has a check of its own."""
    if missing := [name for name in PINTEREST_SECRETS if name in held.missing]:
        message = f"{', '.join(missing)} found nowhere: environment, local digdag secrets, --env-file"
        return Check(ERROR, message, "run `td-pinterest authorize`, which gets and stores them")
    return Check(OK, f"found in {held.described()}")


def proxy(environ: Mapping[str, str]) -> Check:
    """The proxy of the environment, without its password."""
    names = [name for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy") if environ.get(name)]
    if not names:
        return Check(OK, "none is set")
    with contextlib.suppress(ValueError):  # such as a port beyond 65535
        parts = urllib.parse.urlsplit(environ[names[0]])
        if parts.scheme in ("http", "https", "socks5", "socks5h") and parts.hostname and parts.port:
            return Check(OK, f"{names[0]} is {parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    return Check(ERROR, f"{names[0]} is not the address of a proxy", f"set {names[0]} to http://HOST:PORT, or unset it")


def _endpoints(environ: Mapping[str, str]) -> None:
    """Nothing to show: other checks show them. Raises SettingsError for one that secrets must not be sent to."""
    read_endpoints(environ)


def _workflow(path: Path) -> Check:
    every = findings(path)
    if not every:
        return Check(OK, f"{path.name} has no finding")
    first = next((finding for finding in every if finding.level == ERROR), every[0])
    message = f"{len(every)} finding{'' if len(every) == 1 else 's'}; {path.name}:{first.line}: {first.message}"
    return Check(first.level, message, f"run `td-pinterest check {path}` for all of them")


def _token(tokens: Tokens) -> Check:
    tokens.token()
    return Check(OK, "accepted by Pinterest")


def _scopes(granted: frozenset[str], held: Credentials) -> Check:
    if missing := find_missing_scopes(granted):
        advice = f"{held.token_advice}, and approve all that the page asks for"
        return Check(ERROR, f"the token lacks {' and '.join(missing)}", advice)
    return Check(OK, " ".join(sorted(granted)) or "Pinterest does not name them")


def _token_days(seconds: float | None, held: Credentials) -> Check:
    if seconds is None:
        return Check(OK, "Pinterest does not say how long the refresh token lasts")
    days = int(seconds // _DAY)
    message = f"the refresh token lasts {days} day{'' if days == 1 else 's'} more"
    if seconds <= _SOON:
        return Check(WARNING, message, f"before it ends: {held.token_advice}")
    return Check(OK, message)


def _clock(headers: Mapping[str, str]) -> Check:
    wall = SYSTEM.wall()
    skew = wall - server_time(headers, wall=wall)
    if abs(skew) > _SKEW:
        message = f"the clock of this machine is {abs(skew):,.0f} s {'ahead' if skew > 0 else 'behind'}"
        return Check(ERROR, message, "set the clock, by NTP for example: certificates and schedules depend on it")
    return Check(OK, "agrees with Pinterest's")


def tier(headers: Mapping[str, str]) -> Check:
    """The access tier of the app, as far as the limits in a response show it."""
    limits = parse_quotas(headers)
    of_day = [quota for quota, window in limits if window >= _DAY]
    if of_day:
        message = (
            f"trial access: {min(of_day):,} requests a day, about {min(of_day) * 10_000:,} people at 10,000 a batch"
        )
        advice = "apply for standard access with Upgrade on the app's card at https://developers.pinterest.com/apps/"
        return Check(WARNING, message, advice)
    return Check(OK, "no daily limit is shown" if limits else "Pinterest shows no limits")


def _ad_account(subject: Subject) -> Check:
    services, named = subject.services, subject.account_id
    if services.tokens.scopes and "ads:read" not in services.tokens.scopes:
        return _skipped("the token may not read")
    accounts = list(services.pinterest.ad_accounts())
    ids = ", ".join(account.label for account in accounts[:5]) or "none"
    if not named and len(accounts) != 1:
        advice = "name one with --ad-account or PINTEREST_AD_ACCOUNT_ID"
        return Check(ERROR, f"no ad account is named, and the token reads {ids}", advice)
    account = next((account for account in accounts if named in (None, "", account.id)), None)
    if account is None:
        advice = "correct the id, or have the owner grant the Pinterest user access in Business Manager"
        return Check(ERROR, f"the token does not read ad account {named}; it reads {ids}", advice)
    subject.account = account
    return Check(OK, account.label)


def role(account: AdAccount) -> Check:
    """Whether the user may change audiences of the ad account."""
    shown = ", ".join(account.roles) or "not shown by Pinterest"
    if account.may_write is False:
        advice = f"have the owner grant one of {', '.join(sorted(WRITERS))} in Business Manager"
        return Check(WARNING, f"{shown}: it may not be enough to change audiences", advice)
    return Check(OK, shown)


def _audience(subject: Subject) -> Check:
    """The audience is fit for an export, by the rules of the export itself."""
    if not (audience_id := subject.audience_id):
        advice = "name one with --audience or PINTEREST_AUDIENCE_ID; `td-pinterest audiences` lists them"
        return Check(WARNING, f"{_NOT_CHECKED}no audience is named", advice)
    api = subject.services.pinterest_for(subject.account.id)
    known = Audiences(api).find_usable(audience_id)
    size = "unknown" if known.size is None else f"{known.size:,}"
    message = f'{known.id} "{known.name}": {known.status}, size {size}, customer list {known.customer_list_id}'
    condition = condition_of(known.status)
    if condition is Condition.TOO_SMALL:
        return Check(WARNING, message, "below 100 matched people it is of no use: export more people")
    if condition is not Condition.READY:
        return Check(WARNING, message, "Pinterest takes a day or two: look again tomorrow")
    return Check(OK, message)


def _treasure_data(subject: Subject) -> Check:
    """The key is good in this region."""
    if "TD_API_KEY" in subject.credentials.missing:
        message = f"TD_API_KEY found nowhere (as a secret: {SECRETS['TD_API_KEY']})"
        return Check(ERROR, message, "set it, or store it with `digdag secrets --local --set td.apikey`")
    with subject.credentials.of_treasure_data().services() as services:
        services.treasure_data.call("GET", "/v3/database/list")
    host = urllib.parse.urlsplit(read_endpoints(subject.credentials.environ).treasure_data).hostname
    return Check(OK, f"the key is accepted by {host}")


def _history(subject: Subject) -> Check | None:
    """The history's table can be made, or is there, and the key may write to it."""
    database, given = subject.history
    if is_left_out(given):
        return None
    try:
        named = TABLE.read(given, show_value)
    except WrongValueError as error:
        return Check(ERROR, f"history: {error}", f"write {TABLE.allowed}")
    database = named.database or database
    if not database:
        return Check(ERROR, f"the history {named.table} is in no database", f"write history: database.{named.table}")
    with subject.credentials.of_treasure_data().services() as services:
        return _history_table(services.treasure_data, database, named.table)


def _history_table(td: TreasureData, database: str, table: str) -> Check:
    _, content = td.call("GET", path_of("database", "list"))
    permissions = {each.get("name"): each.get("permission") for each in content.get("databases") or ()}
    if database not in permissions:
        advice = "create that database, or name another one in the setting: history: database.table"
        return Check(ERROR, f'there is no database "{database}" for the history, or the key does not see it', advice)
    if (permission := permissions[database]) in _MAY_NOT_WRITE:
        message = f"the key has {permission} on database {database}: no row would be written"
        return Check(ERROR, message, "give its user full access there, or name another database")
    _, content = td.call("GET", path_of("table", "list", database))
    schema = next((each.get("schema") for each in content.get("tables") or () if each.get("name") == table), None)
    if schema is None:
        return Check(OK, f"the first run makes the table {database}.{table}")
    missing = NAMES - {"time", *(column[0] for column in json.loads(schema or "[]"))}
    more = f"; the next run adds the {len(missing)} columns that it lacks" if missing else ""
    return Check(OK, f"the table {database}.{table} is there{more}")


def _rows(subject: Subject) -> Check:
    """The job is readable, its columns fit, and the first rows are judged, all by the task's `result_settings`."""
    params, held, td = subject.params, subject.credentials, subject.services.treasure_data
    how = parse({**_ANY_EXPORT, **params["result_settings"]}, environ=held.environ)
    job = wait_for_job(td, workflow_task.read_source(held.task(**params)), note=lambda _: None)
    stats = Stats(action="", ad_account_id="", dry_run=True)
    with open_reader(job, how, stats, lists=None) as preparation:
        preparation.read(_first_rows(iter(JobResult(td, job))), progress=lambda _: None)
    names = ", ".join(column.name for column in preparation.columns)
    message = f"job {job.id} ({names}): of its first {stats.read:,} rows {stats.invalid_rows:,} are invalid"
    reasons = {reason: count for reason, count in sorted(stats.invalid_by_reason.items()) if count}
    if not stats.read:
        return Check(WARNING, f"job {job.id} ({names}) has no rows", "check the query's WHERE")
    check_value_kind(how.expect_values, plain=stats.plain_values, hashed=stats.hashed_values)
    if stats.hashed_values > TOLERATED_SHARE * stats.valid and how.expect_values is ExpectedValues.ANY:
        return Check(
            WARNING,
            f"{message}; {stats.hashed_values:,} values look hashed already",
            "a policy of Treasure Data may mask the column: digests of masked values match nobody. "
            "expect_values: plain stops an export of such values, and expect_values: hashed says that they are digests",
        )
    if not reasons:
        return Check(OK, message)
    shown = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
    advice = f"`td-pinterest explain {max(reasons, key=lambda name: reasons[name])}` says why, with SQL"
    return Check(WARNING if stats.valid else ERROR, f"{message} ({shown})", advice)


def _first_rows(blocks: Iterator[list[list[Any]]]) -> Iterator[list[list[Any]]]:
    left = _SAMPLE
    for block in blocks:
        yield [column[:left] for column in block]
        left -= len(block[0])
        if left <= 0:
            return


_LOOKS: tuple[tuple[str, tuple[str, ...], Callable[[Subject], Check | None]], ...] = (
    # the name, the checks without which it cannot be made, and how it is made
    ("credentials", (), lambda about: _credentials(about.credentials)),
    ("proxy", (), lambda about: proxy(about.credentials.environ)),
    ("endpoints", (), lambda about: _endpoints(about.credentials.environ)),
    ("token", ("credentials", "endpoints"), lambda about: _token(about.services.tokens)),
    ("scopes", ("token",), lambda about: _scopes(about.services.tokens.scopes, about.credentials)),
    (
        "token_days",
        ("token",),
        lambda about: _token_days(about.services.tokens.refresh_expires_in, about.credentials),
    ),
    ("clock", ("token",), lambda about: _clock(about.services.client.last_headers)),
    ("ad_account", ("token",), _ad_account),
    ("tier", ("token",), lambda about: tier(about.services.client.last_headers)),
    ("role", ("ad_account",), lambda about: role(about.account)),
    ("audience", ("ad_account",), _audience),
    ("treasure_data", ("endpoints",), _treasure_data),
    ("history", ("treasure_data",), _history),
    ("rows", ("treasure_data", "credentials"), _rows),
    ("workflow", (), lambda about: _workflow(about.workflow) if about.workflow else None),
)
