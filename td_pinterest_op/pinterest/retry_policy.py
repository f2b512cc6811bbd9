"""The retry policy for Pinterest's responses: what to do next, and who must act.

Source of the codes: `Pinterest.Lib.Error` of API v5, and responses of the live service.
"""

# To handle a status code:
# 1. Add it to the table in tests/unit/pinterest/test_retry_policy.py, and to tests/faults/table.py, which tries it at
#    each step of each action. Only a refusal that depends on a request or a state is raised by the emulator itself.
# 2. Add a row to `RESPONSE_DECISIONS`, a special one above a general one: the first that matches counts.
# 3. If the caller can do more than repeat, such as halve a batch, do that there: audiences/sender.py for records,
#    audiences/consistency.py for creations.
# 4. The error's class says who must act (a new class: errors.py). What users must do: docs/troubleshooting.md. What
#    they can rely on: a row in docs/guarantees-and-limits.md and in tests/README.md.
import enum
import re
from dataclasses import dataclass, replace
from functools import partial

from td_pinterest_op.errors import AccountError, ExportError, PinterestError, RequestRefusedError, UnavailableError
from td_pinterest_op.http.transport import UNUSABLE_CONNECTION_ADVICE, Failure


class Recovery(enum.Enum):
    """How the client continues after a failed attempt to send a request."""

    RETRY = "wait as the settings say, at most retry_count times"
    WAIT = "wait as the server says; not counted as a retry"
    REFRESH = "get a new access token"
    GIVE_UP = "do not try again"


@dataclass(frozen=True)
class FailureDecision:
    """How to continue after a failure, and the error if the client gives up."""

    recovery: Recovery
    error: type[ExportError]
    advice: str
    records_advice: str = ""  # more advice, if the request had records
    maybe_applied: bool = False  # whether Pinterest may have carried out the request


_LATER_ADVICE = "Run this task again later"
AUTHORISE_AGAIN_ADVICE = (
    "The owner of the Pinterest account must authorise the app again, with the scopes ads:read and ads:write, "
    "and store the new refresh token"
)
_CONNECTION_ADVICE = f"Check PINTEREST_API_ENDPOINT, {UNUSABLE_CONNECTION_ADVICE}"
_ACCESS_ADVICE = (
    "The app may have no access to audiences: "
    "its owner must check its access tier at Pinterest (trial or standard), and ask for access"
)
_ROLE_ADVICE = (
    "The owner of the ad account must give the authorising user a role that may manage audiences. If the app has trial "
    "access, which is limited to 300 writes a day, its owner must ask Pinterest for standard access"
)

_give_up = partial(FailureDecision, Recovery.GIVE_UP)
_RETRY_NOT_DONE = FailureDecision(Recovery.RETRY, UnavailableError, _LATER_ADVICE)
_RETRY_IN_DOUBT = replace(_RETRY_NOT_DONE, maybe_applied=True)
_RETRY_BROKEN_CONNECTION = replace(
    _RETRY_IN_DOUBT,
    records_advice="If that happens whenever records are sent, a proxy may refuse large bodies: lower "
    "limit_records_per_request",
)

FAILURE_DECISIONS = {
    Failure.NOT_CONNECTED: _RETRY_NOT_DONE,
    Failure.CONNECT_TIMEOUT: _RETRY_NOT_DONE,
    Failure.WRITE_TIMEOUT: _RETRY_BROKEN_CONNECTION,
    Failure.READ_TIMEOUT: _RETRY_IN_DOUBT,
    Failure.BROKEN: _RETRY_BROKEN_CONNECTION,
    Failure.OVERSIZED: _RETRY_IN_DOUBT,
    Failure.UNTRUSTED: _give_up(PinterestError, _CONNECTION_ADVICE),
    Failure.TLS: _give_up(PinterestError, _CONNECTION_ADVICE),
    Failure.UNUSABLE: _give_up(PinterestError, _CONNECTION_ADVICE),
}

# Status, code (None: any), pattern of the message, decision.
RESPONSE_DECISIONS: tuple[tuple[int, int | None, str, FailureDecision], ...] = (
    (400, 12, "", _RETRY_IN_DOUBT),
    (400, None, "something went wrong|retry after", _RETRY_IN_DOUBT),
    (401, 3, "", _give_up(AccountError, f"{AUTHORISE_AGAIN_ADVICE}. {_ACCESS_ADVICE}")),
    (401, None, "", FailureDecision(Recovery.REFRESH, AccountError, AUTHORISE_AGAIN_ADVICE)),
    (403, None, "", _give_up(AccountError, _ROLE_ADVICE)),
    (408, None, "", _RETRY_IN_DOUBT),
    (409, None, "", _RETRY_NOT_DONE),
    (423, None, "", _RETRY_NOT_DONE),
    (429, None, "", FailureDecision(Recovery.WAIT, UnavailableError, _LATER_ADVICE)),
)
# For other responses, by the hundred of the status.
_STATUS_CLASS_DECISIONS = {
    3: _give_up(PinterestError, "Redirects are not followed: check PINTEREST_API_ENDPOINT"),
    4: _give_up(
        RequestRefusedError, "Check the settings. If they are right, report it to Pinterest with the x-pinterest-rid"
    ),
}


def decide_after_response(status: int, code: int | None, unmasked_message: str = "") -> FailureDecision | None:
    """Return how to continue after a response with Pinterest's error code and message, or None for a success."""
    if 200 <= status < 300:
        return None
    for of_status, of_code, pattern, decision in RESPONSE_DECISIONS:
        if status == of_status and of_code in (None, code) and re.search(pattern, unmasked_message, re.IGNORECASE):
            return decision
    return _STATUS_CLASS_DECISIONS.get(status // 100, _RETRY_IN_DOUBT)
