"""The retry policy of Pinterest's responses: tables of what to do next, and of who must act.

Source of the codes: Pinterest API v5, `Pinterest.Lib.Error`, and responses of the live service.
"""

import enum
import re
from dataclasses import dataclass

from td_pinterest_op.errors import AccountError, ExportError, PinterestError, RequestRefusedError, UnavailableError
from td_pinterest_op.http.transport import Failure


class Recovery(enum.Enum):
    """What to do after a failed attempt."""

    RETRY = "wait as the settings say, then try again, at most retry_count times"
    WAIT = "wait as the server says, then try again; not counted as a retry"
    REFRESH = "get a new access token, then try again"
    GIVE_UP = "do not try again"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do after a failed attempt; if that is to give up, the error and its advice.

    `maybe_applied`: the request that failed may have been carried out.
    """

    recovery: Recovery
    maybe_applied: bool
    error: type[ExportError]
    advice: str


_LONGEST_MESSAGE = 10_000

_LATER = "run this task again later"
AUTHORISE_AGAIN = (
    "the owner of the Pinterest account must authorise the app again, with the scopes ads:read and ads:write, "
    "and store the new refresh token"
)
_ACCESS = (
    "the app has no access to audiences: "
    "its owner must check its access tier at Pinterest (trial or standard), and ask for access"
)
_ROLE = "the owner of the ad account must give the authorising user a role that may manage audiences"
_TRIAL = (
    f"{_ROLE}; or the app has trial access, which is limited to 300 writes a day: "
    "its owner must ask Pinterest for standard access"
)

_NOT_DONE = Decision(Recovery.RETRY, False, UnavailableError, _LATER)
_IN_DOUBT = Decision(Recovery.RETRY, True, UnavailableError, _LATER)


def _give_up_with(error: type[ExportError], advice: str) -> Decision:
    """Return the decision to give up with this error and advice."""
    return Decision(Recovery.GIVE_UP, False, error, advice)


FAILURES: dict[Failure, Decision] = {
    Failure.NOT_CONNECTED: _NOT_DONE,
    Failure.CONNECT_TIMEOUT: _NOT_DONE,
    Failure.WRITE_TIMEOUT: _IN_DOUBT,
    Failure.READ_TIMEOUT: _IN_DOUBT,
    Failure.BROKEN: _IN_DOUBT,
    Failure.OVERSIZED: _IN_DOUBT,
    Failure.TLS: _give_up_with(PinterestError, "check the endpoint and the proxy's certificates"),
    Failure.UNUSABLE: _give_up_with(PinterestError, "check PINTEREST_API_ENDPOINT, the proxy and SSL_CERT_FILE"),
}

# (status, code) → decision. A code of None means any other code of that status; 300, 400 and 500 any other status of
# their hundred.
RESPONSES: dict[tuple[int, int | None], Decision] = {
    (300, None): _give_up_with(PinterestError, "redirects are not followed; check PINTEREST_API_ENDPOINT"),
    (400, None): _give_up_with(RequestRefusedError, "Pinterest rejected the request as invalid"),
    (401, 3): _give_up_with(AccountError, f"{AUTHORISE_AGAIN}. Or {_ACCESS}"),
    (401, None): Decision(Recovery.REFRESH, False, AccountError, AUTHORISE_AGAIN),
    (403, 29): _give_up_with(AccountError, _TRIAL),
    (403, None): _give_up_with(AccountError, _ROLE),
    (408, None): _IN_DOUBT,
    (409, None): _NOT_DONE,
    (423, None): _NOT_DONE,
    (429, None): Decision(Recovery.WAIT, False, UnavailableError, _LATER),
    (500, None): _IN_DOUBT,
}

# (status, code, pattern of the message) → decision, where status and code are ambiguous.
MESSAGES: tuple[tuple[int, int | None, str, Decision], ...] = (
    (400, 12, "", _IN_DOUBT),
    (400, None, "something went wrong|retry after|try again", _IN_DOUBT),
    (401, 3, "does not have access|restricted feature", _give_up_with(AccountError, _ACCESS)),
    (401, 3, "sufficient permission|missing|scope", _give_up_with(AccountError, AUTHORISE_AGAIN)),
)


def decide(status: int, code: int | None, message: str = "") -> Decision | None:
    """Return what to do after a response, None for a success (2xx). `message` is Pinterest's, unmasked."""
    if 200 <= status < 300:
        return None
    for of_status, of_code, pattern, decision in MESSAGES:
        is_same = status == of_status and of_code in (None, code)
        if is_same and re.search(pattern, message[:_LONGEST_MESSAGE], re.IGNORECASE):
            return decision
    keys = ((status, code), (status, None), (status // 100 * 100, None))
    return next((RESPONSES[key] for key in keys if key in RESPONSES), _IN_DOUBT)
