"""The table of what an answer or a failure means."""

import pytest

from td_pinterest_op.errors import AccountError, ExportError, PinterestError, RequestRefusedError, UnavailableError
from td_pinterest_op.http.transport import Failure
from td_pinterest_op.pinterest.retry_policy import FAILURE_DECISIONS, Recovery, decide_after_response

RETRY = Recovery.RETRY
WAIT = Recovery.WAIT
REFRESH = Recovery.REFRESH
GIVE_UP = Recovery.GIVE_UP
NO = False
MAYBE = True


@pytest.mark.parametrize("status", [200, 299])
def test_a_2xx_is_a_success_whatever_its_code(status: int) -> None:
    assert decide_after_response(status, None) is None
    assert decide_after_response(status, 8) is None


@pytest.mark.parametrize(
    ("status", "code", "recovery", "error", "maybe_applied"),
    [
        (301, None, GIVE_UP, PinterestError, NO),
        (400, None, GIVE_UP, RequestRefusedError, NO),
        (400, 1, GIVE_UP, RequestRefusedError, NO),
        (401, None, REFRESH, AccountError, NO),
        (401, 3, GIVE_UP, AccountError, NO),
        (403, 29, GIVE_UP, AccountError, NO),
        (403, None, GIVE_UP, AccountError, NO),
        (404, 2, GIVE_UP, RequestRefusedError, NO),
        (408, None, RETRY, UnavailableError, MAYBE),
        (409, None, RETRY, UnavailableError, NO),
        (423, None, RETRY, UnavailableError, NO),
        (413, None, GIVE_UP, RequestRefusedError, NO),
        (429, 30, WAIT, UnavailableError, NO),
        (500, None, RETRY, UnavailableError, MAYBE),
        (503, 12, RETRY, UnavailableError, MAYBE),
        (999, None, RETRY, UnavailableError, MAYBE),
    ],
)
def test_status_and_code_decide_what_to_do_and_who_must_act(
    status: int, code: int | None, recovery: Recovery, error: type[ExportError], maybe_applied: bool
) -> None:
    row = decide_after_response(status, code)
    assert row is not None
    assert (recovery, error, maybe_applied) == (row.recovery, row.error, row.maybe_applied)
    assert row.advice


@pytest.mark.parametrize(
    ("failures", "recovery", "error", "maybe_applied"),
    [
        ({Failure.NOT_CONNECTED, Failure.CONNECT_TIMEOUT}, RETRY, UnavailableError, NO),
        ({Failure.TLS, Failure.UNTRUSTED, Failure.UNUSABLE}, GIVE_UP, PinterestError, NO),
        (
            {Failure.WRITE_TIMEOUT, Failure.READ_TIMEOUT, Failure.BROKEN, Failure.OVERSIZED},
            RETRY,
            UnavailableError,
            MAYBE,
        ),
    ],
)
def test_failure_without_a_response_decides_what_to_do_and_who_must_act(
    failures: set[Failure], recovery: Recovery, error: type[ExportError], maybe_applied: bool
) -> None:
    expected = (recovery, error, maybe_applied)
    rows = {failure: (row.recovery, row.error, row.maybe_applied) for failure, row in FAILURE_DECISIONS.items()}
    assert {failure for failure, row in rows.items() if row == expected} == failures


@pytest.mark.parametrize(
    ("status", "code", "message", "recovery", "advice"),
    [
        (400, 12, "", RETRY, "later"),
        (400, 1, "Something went wrong on our end", RETRY, "later"),
        (400, 1, "Invalid records", GIVE_UP, "Check the settings"),
        (400, 1, "Check the records and please try again", GIVE_UP, "Check the settings"),
        (401, 3, "Your application does not have access to this restricted feature: x", GIVE_UP, "access tier"),
        (401, 3, "Your token does not have sufficient permissions. Missing: ['ads:write']", GIVE_UP, "with the scopes"),
    ],
)
def test_message_decides_where_status_and_code_are_ambiguous(
    status: int, code: int | None, message: str, recovery: Recovery, advice: str
) -> None:
    row = decide_after_response(status, code, message)
    assert row is not None
    assert recovery is row.recovery
    assert advice in row.advice
