"""One request until it is answered or given up."""

import dataclasses
import re
from collections.abc import Mapping
from email.utils import formatdate

import pytest

from td_pinterest_op.errors import (
    AccountError,
    ExportError,
    StoppedError,
    UnavailableError,
)
from td_pinterest_op.http.retry import RetrySchedule
from td_pinterest_op.http.transport import Failure, Response
from td_pinterest_op.pinterest.client import Request
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.stats import RequestCounts
from tests.unit.scripted import Keys, Scene, answer, scene

READ = Request(method="GET", path="/things", purpose="look at things")
WRITE = Request(method="PATCH", path="/things", purpose="change things", body=b"{}", write=True)
RECORDS = Request(method="PATCH", path="/list", purpose="add 3 records", body=b"{}", write=True, has_records=True)
CREATING = Request(method="POST", path="/things", purpose="creating", body=b"{}", write=True, repeatable=False)

OK = answer()
BROKEN = answer(500, {"code": 0, "message": "Oops"})


def throttled(after: str) -> Response:
    return answer(429, {"code": 8}, {"Retry-After": after})


def send(stage: Scene, request: Request = WRITE, *, keys: int = 1) -> Response:
    return stage.client.send(request, Keys(keys))


def error_of(stage: Scene, request: Request = WRITE, *, keys: int = 1) -> ExportError:
    with pytest.raises(ExportError) as caught:
        send(stage, request, keys=keys)
    return caught.value


# -- what is sent, and what comes back


def test_a_read_has_no_content_type_and_is_not_counted() -> None:
    stage = scene(BROKEN, OK)
    send(stage, READ)
    assert "Content-Type" not in stage.script.sent[0].headers
    assert (stage.counts.sent, stage.counts.retried, stage.counts.failed) == (0, 0, 0)


# -- failures that may pass


@pytest.mark.parametrize(
    "failure",
    [
        answer(502, "<html>"),
        answer(409, {"code": 1}),
        answer(400, {"code": 1, "message": "Sorry, something went wrong"}),
        Failure.NOT_CONNECTED,
    ],
)
def test_a_passing_failure_is_waited_out_and_tried_again(failure: Response | Failure) -> None:
    stage = scene(failure, failure, OK)
    assert send(stage) == OK
    assert stage.script.times == [0, 0.5, 1.5]
    assert RequestCounts(sent=3, retried=2, failed=2, waiting_seconds=1.5) == stage.counts


def test_lasting_failure_is_retried_as_often_as_set_and_then_raised() -> None:
    stage = scene(answer(503, {"code": 7, "message": "busy"}, {"x-pinterest-rid": "r1"}))
    error = error_of(stage)
    assert UnavailableError is type(error)
    assert stage.script.times == [0, 0.5, 1.5, 3.5]
    assert str(error) == (
        'Pinterest answered 503 (code 7) "busy" to the request to change things [x-pinterest-rid r1]; tried '
        "4 times. Run this task again later"
    )
    assert (error.status, error.maybe_applied) == (503, True)


@pytest.mark.parametrize(("failure", "longest_wait"), [(BROKEN, 300), (answer(429), 0)])
def test_request_is_sent_once_if_no_retries_are_set(failure: Response, longest_wait: float) -> None:
    stage = scene(failure, retry=RetrySchedule(count=0, initial_wait=0, longest_wait=longest_wait, random=lambda: 0))
    assert UnavailableError is type(error_of(stage))
    assert len(stage.script.sent) == 1


def test_one_attempt_without_a_known_outcome_makes_the_request_maybe_applied() -> None:
    assert error_of(scene(Failure.READ_TIMEOUT, Failure.NOT_CONNECTED)).maybe_applied


# -- waits that the server asks for


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": formatdate(1_800_000_007, usegmt=True)}, 7),
        ({"Retry-After": "7", "x-ratelimit-reset": "20"}, 7),
        ({"Retry-After": "nonsense", "x-ratelimit-reset": "20"}, 20),
        ({"Retry-After": "-1", "x-ratelimit-reset": "nan"}, 0.5),
        ({"Retry-After": "0"}, 0.5),
    ],
)
def test_a_429_is_waited_out_in_full(headers: Mapping[str, str], wait: float) -> None:
    stage = scene(answer(429, {"code": 8}, headers), OK)
    assert send(stage).throttled
    assert stage.script.times == [0, wait]
    assert RequestCounts(sent=2, retried=1, failed=1, waiting_seconds=wait) == stage.counts


def test_a_429_is_not_counted_against_the_retries() -> None:
    stage = scene(*[throttled("2")] * 10, *[BROKEN] * 3, OK)
    send(stage)
    assert stage.script.times == [*range(0, 22, 2), 20.5, 21.5, 23.5]


def test_a_server_that_throttles_but_asks_for_no_wait_is_not_asked_without_pause() -> None:
    retry = RetrySchedule(count=3, initial_wait=0.0, longest_wait=300, random=lambda: 0)
    stage = scene(*[throttled("0")] * 3, OK, retry=retry)
    send(stage)
    assert stage.script.times == [0, 1, 2, 3]


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_for_more_than_the_longest_wait_is_not_tried_again(status: int) -> None:
    stage = scene(answer(status, {}, {"Retry-After": "301"}), OK)
    error = error_of(stage)
    assert UnavailableError is type(error)
    assert "asks to wait 5 min 1 s (until 08:05 UTC), more than max_retry_wait_millis allows (5 min)" in str(error)
    assert stage.script.times == [0]


def test_wait_of_ages_ends_the_request_which_stays_maybe_applied() -> None:
    error = error_of(scene(answer(500, {}, {"Retry-After": "9" * 400}), OK), CREATING)
    assert type(error) is UnavailableError
    assert re.search(r"asks to wait \d{6} h 46 min \(until \d{4}-", str(error))
    assert error.maybe_applied


def test_throttled_request_fails_after_four_times_the_longest_wait_without_any_success() -> None:
    stage = scene(throttled("250"))
    error = error_of(stage)
    assert "no request has succeeded for 20 min 50 s" in str(error)
    assert stage.script.times == [0, 250, 500, 750, 1000, 1250]


def test_success_of_any_request_restarts_the_time_limit_for_429s() -> None:
    stage = scene(throttled("250"), throttled("250"), OK, *[throttled("250")] * 5, OK)
    send(stage)
    send(stage)
    assert len(stage.script.sent) == 9


# -- authorisation


REFUSED = answer(401, {"code": 2})


def test_a_401_gets_a_new_token_as_often_as_tokens_are_replaced() -> None:
    stage = scene(REFUSED, REFUSED, BROKEN, REFUSED, OK)
    send(stage, keys=4)
    keys = ["key 1", "key 2", "key 3", "key 3", "key 4"]
    assert keys == [sent.headers["Authorization"] for sent in stage.script.sent]
    assert RequestCounts(sent=5, retried=4, failed=4, waiting_seconds=0.5) == stage.counts


def test_refused_token_has_worked_only_if_an_earlier_request_with_it_was_accepted() -> None:
    stage = scene(REFUSED, OK, REFUSED, REFUSED, OK)
    keys = Keys(4)
    for _ in range(2):
        stage.client.send(WRITE, keys)
    assert keys.refused_tokens_worked == [False, True, False]


@pytest.mark.parametrize(("keys", "tries"), [(1, 1), (3, 3), (100, 10)])
def test_a_401_that_remains_with_every_token_or_ten_is_for_the_accounts_owner(keys: int, tries: int) -> None:
    stage = scene(REFUSED)
    error = error_of(stage, keys=keys)
    assert AccountError is type(error)
    assert "must authorise the app again" in str(error)
    assert tries == len(stage.script.sent)


# -- creating, stopping


def test_a_creating_request_that_did_not_arrive_is_repeated() -> None:
    stage = scene(Failure.NOT_CONNECTED, throttled("1"), OK)
    send(stage, CREATING)
    assert stage.script.times == [0, 0.5, 1.5]


def test_request_after_a_failed_creation_waits_as_that_response_asks() -> None:
    stage = scene(answer(503, {}, {"Retry-After": "7"}), OK)
    error_of(stage, CREATING)
    send(stage, READ)
    assert stage.script.times == [0, 7]


@pytest.mark.parametrize(
    ("first", "doubtful"),
    [(Failure.READ_TIMEOUT, True), (Failure.NOT_CONNECTED, False), (throttled("9"), False)],
)
def test_request_stopped_while_waiting_keeps_whether_it_may_have_been_applied(
    first: Response | Failure, doubtful: bool
) -> None:
    stage = scene(first, OK)
    sleep = stage.time.sleep

    def stopping(seconds: float) -> None:
        stage.client.rate_limiter.stop(RuntimeError("the end"))
        sleep(seconds)

    stage.client.rate_limiter._sleep = stopping
    error = error_of(stage)
    assert (StoppedError, doubtful) == (type(error), error.maybe_applied)
    assert len(stage.script.sent) == 1


# -- what is said


def test_quoted_message_is_masked_before_it_is_cut_to_one_line() -> None:
    secret = Secret("s3cr3t-refresh-token").reveal()
    # Cut at two hundred characters, the credential and the address would be half there, and not recognised.
    description = f"{'x ' * 92}{secret} jane@shop.example\nERROR forged {'y' * 300}"
    text = str(error_of(scene(answer(400, {"message": description}))))
    assert "x *** <hidden>" in text
    assert "s3cr3t" not in text
    assert "jane" not in text
    assert "\n" not in text
    assert len(text) < 400


def test_control_characters_in_the_purpose_are_escaped() -> None:
    text = str(error_of(scene(answer(403)), dataclasses.replace(WRITE, purpose='create "a\nb\x1b"')))
    assert 'Pinterest answered 403 to the request to create "a\\nb\\x1b" [x-pinterest-rid -]. ' in text


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ("9" * 31 + "-" + "8" * 70, "9" * 31 + "-hidden"),
        ("rid:s3cr3t&refresh=token", "rid***"),
        ("x" * 60 + "s3cr3t&refresh=token", "x" * 60 + "***"),
        ("", "-"),
    ],
)
def test_request_id_is_masked_and_reduced_to_safe_characters(header: str, shown: str) -> None:
    Secret(":s3cr3t&refresh=token")
    Secret("s3cr3t&refresh=token")
    assert f"[x-pinterest-rid {shown}]" in str(error_of(scene(answer(400, {}, {"x-pinterest-rid": header}))))


def test_request_id_of_the_token_endpoint_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """It may echo a secret in a form that nothing recognises."""
    stage = scene(answer(503, {"code": 283}, {"x-pinterest-rid": "nekot-terces"}))
    error = error_of(stage, dataclasses.replace(CREATING, path="/oauth/token", repeatable=True))
    assert "(code 283)" in str(error)
    assert "nekot" not in f"{error} {caplog.text}"


def test_error_of_a_connection_that_keeps_breaking_names_smaller_requests() -> None:
    stage = scene(Failure.BROKEN)
    error = error_of(stage, RECORDS)
    assert (type(error), error.maybe_applied, len(stage.script.sent)) == (UnavailableError, True, 4)
    assert "lower limit_records_per_request" in str(error)


def test_error_of_a_connection_that_breaks_without_records_does_not_advise_smaller_requests() -> None:
    error = error_of(scene(Failure.BROKEN), dataclasses.replace(RECORDS, has_records=False))
    assert error.advice == "Run this task again later"
