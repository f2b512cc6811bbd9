"""Checks of the token, the ad account and the audience on Pinterest."""

from collections.abc import Mapping

from td_pinterest_op.audiences.lookup import require_writable_audience
from td_pinterest_op.cli.connection import WRITER_ROLES, AdAccount
from td_pinterest_op.cli.doctor.context import CheckResult, DoctorContext
from td_pinterest_op.http.retry import parse_server_time
from td_pinterest_op.pinterest.api import AudienceCondition, classify_audience_status
from td_pinterest_op.pinterest.oauth import describe_missing_scopes
from td_pinterest_op.pinterest.rate_limit import parse_requests_per_seconds
from td_pinterest_op.redaction.secret import escape_and_quote
from td_pinterest_op.runtime.clock import DAY_SECONDS, SYSTEM_TIMING
from td_pinterest_op.runtime.text import format_count

_EXPIRY_WARNING_SECONDS = 14 * DAY_SECONDS
# How far clocks may differ before anything fails.
_TOLERATED_SKEW_SECONDS = 120.0


def check_token(context: DoctorContext) -> CheckResult:
    """Check that Pinterest issues an access token for the credentials."""
    context.services.tokens.get_token()
    return CheckResult("accepted by Pinterest")


def check_scopes(context: DoctorContext) -> CheckResult:
    """Check that the token has the scopes that an export needs."""
    granted = context.services.tokens.scopes
    if missing := describe_missing_scopes(granted):
        advice = f"{context.credentials.refused_token_advice}, and approve all that the page asks for"
        return CheckResult(f"the token lacks the {missing}", "error", advice)
    return CheckResult(" ".join(sorted(granted)) or "Pinterest does not name them")


def check_token_expiry(context: DoctorContext) -> CheckResult:
    """Check how soon the refresh token expires."""
    seconds = context.services.tokens.refresh_expires_in
    if seconds is None:
        return CheckResult("Pinterest does not say how long the refresh token lasts")
    message = f"the refresh token expires in {format_count(int(seconds // DAY_SECONDS), 'day')}"
    if seconds <= _EXPIRY_WARNING_SECONDS:
        return CheckResult(message, "warning", f"before it expires: {context.credentials.refused_token_advice}")
    return CheckResult(message)


def check_clock(context: DoctorContext) -> CheckResult:
    """Check that this machine's clock agrees with Pinterest's."""
    now = SYSTEM_TIMING.now()
    skew = now - parse_server_time(context.services.client.last_headers, now=now)
    if abs(skew) > _TOLERATED_SKEW_SECONDS:
        message = f"the clock of this machine is {abs(skew):,.0f} s {'ahead' if skew > 0 else 'behind'}"
        advice = "set the clock, by NTP for example: certificates and schedules depend on it"
        return CheckResult(message, "error", advice)
    return CheckResult("agrees with Pinterest's")


def judge_access_tier(headers: Mapping[str, str]) -> CheckResult:
    """Return a result with the app's access tier, as the limits in a response's headers show it."""
    limits = parse_requests_per_seconds(headers)
    of_day = [quota for quota, window in limits if window >= DAY_SECONDS]
    if of_day:
        message = (
            f"trial access: {min(of_day):,} requests a day, about {min(of_day) * 10_000:,} people at 10,000 a batch"
        )
        advice = "apply for standard access with Upgrade on the app's card at https://developers.pinterest.com/apps/"
        return CheckResult(message, "warning", advice)
    return CheckResult("no daily limit is shown" if limits else "Pinterest shows no limits")


def check_ad_account(context: DoctorContext) -> CheckResult:
    """Check that the token can read the named ad account, or exactly one if none is named."""
    found = context.matching_accounts
    if len(found) == 1:
        return CheckResult(found[0].label)
    labels = ", ".join(account.label for account in context.accounts[:5]) or "none"
    if not context.account_id:
        advice = "name one with --ad-account or PINTEREST_AD_ACCOUNT_ID"
        return CheckResult(f"no ad account is named; the token can read {labels}", "error", advice)
    advice = "correct the id, or ask the owner to give the Pinterest user access in Business Manager"
    return CheckResult(f"the token cannot read ad account {context.account_id}; it can read {labels}", "error", advice)


def check_role(context: DoctorContext) -> CheckResult:
    """Check that the user's roles in the ad account allow an export."""
    return judge_role(context.matching_accounts[0])


def judge_role(account: AdAccount) -> CheckResult:
    """Return a result with the user's roles: a warning if they allow no export."""
    roles = ", ".join(account.roles) or "not shown by Pinterest"
    if account.may_write is False:
        advice = f"ask the owner for one of the roles {', '.join(sorted(WRITER_ROLES))} in Business Manager"
        return CheckResult(f"{roles}: this may not be enough to change audiences", "warning", advice)
    return CheckResult(roles)


def check_audience(context: DoctorContext) -> CheckResult:
    """Check that an export could change the named audience. The result shows its status and size."""
    if not context.audience_id:
        advice = "name one with --audience or PINTEREST_AUDIENCE_ID; `td-pinterest audiences` lists them"
        return CheckResult("not checked: no audience is named", "warning", advice)
    api = context.services.build_pinterest_api(context.matching_accounts[0].id)
    audience = require_writable_audience(api, context.audience_id)
    size = "unknown" if audience.size is None else f"{audience.size:,}"
    label = f"{audience.id} {escape_and_quote(audience.name)}"
    message = f"{label}: {audience.status}, size {size}, customer list {audience.customer_list_id}"
    condition = classify_audience_status(audience.status)
    if condition is AudienceCondition.TOO_SMALL:
        return CheckResult(message, "warning", "ads need at least 100 matched people: export more people")
    if condition is not AudienceCondition.READY:
        return CheckResult(message, "warning", "Pinterest takes a day or two: look again tomorrow")
    return CheckResult(message)
