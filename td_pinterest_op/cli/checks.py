"""The checks of `td-pinterest doctor`: each says what it found and what to do, and leaves the others alone."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from td_pinterest_op.audience_status import TOO_SMALL, USABLE
from td_pinterest_op.audiences.actions import parse
from td_pinterest_op.audiences.audiences import Audiences
from td_pinterest_op.audiences.customer_lists import CustomerLists
from td_pinterest_op.cli.check import findings
from td_pinterest_op.cli.connection import task_of
from td_pinterest_op.cli.credentials import SECRETS, Credentials
from td_pinterest_op.connect import Services
from td_pinterest_op.errors import AudienceError, ExportError
from td_pinterest_op.pinterest.catalog import WRITERS, AdAccount, Catalog
from td_pinterest_op.pinterest.oauth import missing_scopes
from td_pinterest_op.records.plan import TOLERATED
from td_pinterest_op.retry import server_time
from td_pinterest_op.settings.table import ExpectedValues
from td_pinterest_op.stats import Stats
from td_pinterest_op.timing import Timing
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.treasure_data.job import job_of
from td_pinterest_op.treasure_data.result import JobResult
from td_pinterest_op.withholding.preparation import preparing
from td_pinterest_op.workflow import task as workflow_task

OK, WARNING, ERROR = "ok", "warning", "error"
_DAY = 86_400.0
_SOON = 14 * _DAY
# Seconds by which clocks may differ before anything suffers.
_SKEW = 120.0
_SAMPLE = 1_000
# What the settings of an export need beside those about its rows.
_ANY_EXPORT = {
    "type": "pinterest",
    "ad_account_id": "1",
    "audience_type": "customer_list",
    "action": "add_people_to_current_audience",
    "audience_id": "1",
}
_QUOTA = re.compile(r"(\d+);w=(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one check found; `advice` is empty when there is nothing to do."""

    name: str
    status: str
    message: str
    advice: str = ""


def ok(name: str, message: str) -> Check:
    """A check that found nothing wrong."""
    return Check(name=name, status=OK, message=message)


def warning(name: str, message: str, advice: str) -> Check:
    """A check that found something to know."""
    return Check(name=name, status=WARNING, message=message, advice=advice)


def error(name: str, message: str, advice: str) -> Check:
    """A check that found what stops an export."""
    return Check(name=name, status=ERROR, message=message, advice=advice)


# ------------------------------------------------------------------------------------------- this machine


def credentials(held: Credentials) -> Check:
    """Pinterest's credentials; Treasure Data's key has a check of its own."""
    missing = [name for name in held.missing if name != "TD_API_KEY"]
    if missing:
        message = f"{', '.join(missing)} found nowhere: environment, local digdag secrets, --env-file"
        return error("credentials", message, "run `td-pinterest authorize`, which gets and stores them")
    return ok("credentials", f"found in {held.described()}")


def proxy(environ: Mapping[str, str]) -> Check:
    """The proxy of the environment, without its password."""
    names = [name for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy") if environ.get(name)]
    if not names:
        return ok("proxy", "none is set")
    try:
        parts = urllib.parse.urlsplit(environ[names[0]])
        if parts.scheme in ("http", "https", "socks5", "socks5h") and parts.hostname and parts.port:
            return ok("proxy", f"{names[0]} is {parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    except ValueError:  # such as a port beyond 65535
        pass
    advice = f"set {names[0]} to http://HOST:PORT, or unset it"
    return error("proxy", f"{names[0]} is not the address of a proxy", advice)


def workflow(path: Path) -> Check:
    """A .dig file, as `td-pinterest check` sees it."""
    try:
        every = findings(path)
    except ExportError as failure:
        return error("workflow", str(failure), "name an existing .dig file")
    if not every:
        return ok("workflow", f"{path.name} has no finding")
    first = next((finding for finding in every if finding.is_error), every[0])
    message = f"{len(every)} finding{'' if len(every) == 1 else 's'}; {path.name}:{first.line}: {first.message}"
    kind = error if first.is_error else warning
    return kind("workflow", message, f"run `td-pinterest check {path}` for all of them")


# ---------------------------------------------------------------------------------------------- Pinterest


def token(services: Services) -> Check:
    """The refresh token gives an access token."""
    try:
        services.tokens.token()
    except ExportError as failure:
        return _of_failure("token", failure)
    return ok("token", "accepted by Pinterest")


def scopes(services: Services) -> Check:
    """Whether the token may read and write audiences."""
    granted = services.tokens.scopes
    if missing := missing_scopes(granted):
        advice = "run `td-pinterest authorize` and approve all that the page asks for"
        return error("scopes", f"the token lacks {' and '.join(missing)}", advice)
    return ok("scopes", " ".join(sorted(granted)) or "Pinterest does not name them")


def days_left(services: Services) -> Check:
    """How long the refresh token still lasts."""
    seconds = services.tokens.refresh_expires_in
    if seconds is None:
        return ok("token_days", "Pinterest does not say how long the refresh token lasts")
    days = int(seconds // _DAY)
    message = f"the refresh token lasts {days} day{'' if days == 1 else 's'} more"
    if seconds > _SOON:
        return ok("token_days", message)
    return warning("token_days", message, "run `td-pinterest authorize` before it ends")


def clock(services: Services, timing: Timing) -> Check:
    """The clock here beside that of Pinterest's server."""
    wall = timing.wall()
    skew = wall - server_time(services.client.last_headers, wall=wall)
    if abs(skew) > _SKEW:
        message = f"the clock of this machine is {abs(skew):,.0f} s {'ahead' if skew > 0 else 'behind'}"
        return error("clock", message, "set the clock, by NTP for example: certificates and schedules depend on it")
    return ok("clock", "agrees with Pinterest's")


def tier(services: Services) -> Check:
    """The access tier of the app, as far as the limits in a response show it."""
    limits = _QUOTA.findall(services.client.last_headers.get("x-ratelimit-limit", ""))
    of_day = [int(quota) for quota, window in limits if int(window) >= _DAY]
    if of_day:
        message = (
            f"trial access: {min(of_day):,} requests a day, about {min(of_day) * 10_000:,} people at 10,000 a batch"
        )
        advice = "apply for standard access with Upgrade on the app's card at https://developers.pinterest.com/apps/"
        return warning("tier", message, advice)
    return ok("tier", "no daily limit is shown" if limits else "Pinterest shows no limits")


def ad_account(catalog: Catalog, named: str | None) -> tuple[Check, AdAccount | None]:
    """The ad account and the user's role."""
    try:
        accounts = list(catalog.ad_accounts())
    except ExportError as failure:
        return _of_failure("ad_account", failure), None
    ids = ", ".join(f'{account.id} "{account.name}"' for account in accounts[:5]) or "none"
    if not named and len(accounts) != 1:
        advice = "name one with --ad-account or PINTEREST_AD_ACCOUNT_ID"
        return error("ad_account", f"no ad account is named, and the token reads {ids}", advice), None
    match = next((account for account in accounts if named in (None, "", account.id)), None)
    if match is None:
        message = f"the token does not read ad account {named}; it reads {ids}"
        advice = "correct the id, or have the owner grant the Pinterest user access in Business Manager"
        return error("ad_account", message, advice), None
    return ok("ad_account", f'{match.id} "{match.name}"'), match


def role(account: AdAccount) -> Check:
    """Whether the user may change audiences of the ad account."""
    shown = ", ".join(account.roles) or "not shown by Pinterest"
    if account.may_write is False:
        advice = f"have the owner grant one of {', '.join(sorted(WRITERS))} in Business Manager"
        return warning("role", f"{shown}: it may not be enough to change audiences", advice)
    return ok("role", shown)


def audience(services: Services, account_id: str, audience_id: str | None) -> Check:
    """The audience is fit for an export, by the rules of the export itself."""
    if not audience_id:
        advice = "name one with --audience or PINTEREST_AUDIENCE_ID; `td-pinterest audiences` lists them"
        return warning("audience", "not checked: no audience is named", advice)
    api = services.pinterest_for(account_id)
    lists = CustomerLists(api=api, session_key="", audience_id=audience_id, audience_name=None, is_nca=False)
    try:
        known = Audiences(api=api, lists=lists).usable(audience_id)
    except AudienceError as failure:
        return error("audience", str(failure), "`td-pinterest audiences` lists the audiences that exist")
    except ExportError as failure:
        return _of_failure("audience", failure)
    size = "unknown" if known.size is None else f"{known.size:,}"
    message = f'{known.id} "{known.name}": {known.status}, size {size}, customer list {known.customer_list_id}'
    if known.status.upper() in TOO_SMALL:
        return warning("audience", message, "below 100 matched people it is of no use: export more people")
    if known.status.upper() not in USABLE:
        return warning("audience", message, "Pinterest takes a day or two: look again tomorrow")
    return ok("audience", message)


# ------------------------------------------------------------------------------------------ Treasure Data


def treasure_data_key(held: Credentials) -> Check | None:
    """Whether the key of Treasure Data is there; None if it is, since only a request can judge it."""
    if "TD_API_KEY" in held.missing:
        message = f"TD_API_KEY found nowhere (as a secret: {SECRETS['TD_API_KEY']})"
        advice = "set it, or store it with `digdag secrets --local --set td.apikey`"
        return error("treasure_data", message, advice)
    return None


def treasure_data(td: TreasureData, endpoint: str) -> Check:
    """The key is good in this region."""
    host = urllib.parse.urlsplit(endpoint).hostname
    try:
        td.call("GET", "/v3/database/list")
    except ExportError as failure:
        return _of_failure("treasure_data", failure)
    return ok("treasure_data", f"the key is accepted by {host}")


def rows(services: Services, held: Credentials, params: Mapping[str, Any]) -> Check:
    """The job is readable, its columns fit, and the first rows are judged, all by the task's `result_settings`."""
    try:
        td = services.treasure_data
        how = parse({**_ANY_EXPORT, **params["result_settings"]}, environ=held.environ)
        job = job_of(td, workflow_task.source(task_of(held, **params)), note=lambda _: None)
        stats = Stats(action="", ad_account_id="", dry_run=True)
        with preparing(job, how, stats, lists=None) as preparation:
            preparation.read(_first_rows(iter(JobResult(td, job))), progress=lambda _: None)
    except ExportError as failure:
        return _of_failure("rows", failure)
    names = ", ".join(column.name for column in preparation.columns)
    message = f"job {job.id} ({names}): of its first {stats.read:,} rows {stats.invalid_rows:,} are invalid"
    reasons = {reason: count for reason, count in sorted(stats.invalid_by_reason.items()) if count}
    shown = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
    if not stats.read:
        return warning("rows", f"job {job.id} ({names}) has no rows", "check the query's WHERE")
    if stats.hashed_values > TOLERATED * stats.valid and how.expect_values is not ExpectedValues.HASHED:
        return warning(
            "rows",
            f"{message}; {stats.hashed_values:,} values look hashed already",
            "a policy of Treasure Data may mask the column: digests of masked values match nobody. "
            "expect_values: plain stops an export of such values, and expect_values: hashed says that they are digests",
        )
    if not reasons:
        return ok("rows", message)
    advice = f"`td-pinterest explain {max(reasons, key=lambda name: reasons[name])}` says why, with SQL"
    kind = warning if stats.valid else error
    return kind("rows", f"{message} ({shown})", advice)


def _first_rows(blocks: Iterator[list[list[Any]]]) -> Iterator[list[list[Any]]]:
    left = _SAMPLE
    for block in blocks:
        yield [column[:left] for column in block]
        left -= len(block[0])
        if left <= 0:
            return


def _of_failure(name: str, failure: ExportError) -> Check:
    return error(name, str(failure), failure.advice)


def skipped(name: str, because: str) -> Check:
    """A check that cannot be made."""
    return warning(name, f"not checked: {because}", "fix that first")
