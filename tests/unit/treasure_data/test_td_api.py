"""One call to Treasure Data, retried until it succeeds or the retries are used up."""

import json
import logging
from collections.abc import Iterator

import pytest

from td_pinterest_op.errors import ExportError, SettingsError, TreasureDataError, WorkflowError
from td_pinterest_op.http.retry import Retry
from td_pinterest_op.http.transport import Failure, NoResponseError, Transport
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.treasure_data.td_api import TemporaryError, TreasureData, build_path
from tests.clock import FakeTime
from tests.emulators.td import API_KEY, Fault, serve_td
from tests.emulators.td import TreasureData as Emulator

OPEN = "/v3/system/server_status"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Emulator, str]]:
    with serve_td() as served:
        yield served


@pytest.fixture
def emulator(served: tuple[Emulator, str]) -> Emulator:
    served[0].faults.clear()
    served[0].requests.clear()
    return served[0]


def client(url: str, time: FakeTime) -> TreasureData:
    return TreasureData(
        api_key=Secret(API_KEY),
        endpoint=url,
        transport=Transport(connect_timeout=5, write_timeout=5, read_timeout=5, connections=1),
        retry=Retry(count=3, initial_wait=1, longest_wait=300, random=lambda: 0.0),
        timing=time.timing,
    )


@pytest.fixture
def td(emulator: Emulator, served: tuple[Emulator, str], fake_time: FakeTime) -> TreasureData:
    return client(served[1], fake_time)


@pytest.mark.parametrize("ending", ["", "/", "//"])
def test_an_endpoint_may_end_in_a_slash_or_not(
    emulator: Emulator, served: tuple[Emulator, str], fake_time: FakeTime, ending: str
) -> None:
    client(served[1].rstrip("/") + ending, fake_time).call("GET", OPEN)
    assert [received.path for received in emulator.requests] == [OPEN]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("job", "show", "5"), "/v3/job/show/5"),
        (("job", "issue", "presto", "../../database/delete/x"), "/v3/job/issue/presto/..%2F..%2Fdatabase%2Fdelete%2Fx"),
        (("job", "a?b#c%d é"), "/v3/job/a%3Fb%23c%25d%20%C3%A9"),
    ],
)
def test_each_part_of_a_path_is_quoted_whole(parts: tuple[str, ...], expected: str) -> None:
    assert build_path(*parts) == expected


def test_post_sends_its_fields_and_a_404_is_returned(emulator: Emulator, td: TreasureData) -> None:
    status, _ = td.call("POST", "/v3/job/issue/presto/nowhere", query="select 'ä'", domain_key="k")
    assert status == 404
    assert dict(emulator.requests[-1].form) == {"query": "select 'ä'", "domain_key": "k"}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "fault",
    [
        *(Fault(kind="status", status=status, times=3) for status in (408, 421, 423, 425, 429, 500, 503)),
        *(Fault(kind=kind, times=3) for kind in ("reset", "lost", "cut")),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_a_call_that_fails_for_a_moment_is_repeated_with_doubling_waits(
    emulator: Emulator, td: TreasureData, fake_time: FakeTime, fault: Fault, method: str
) -> None:
    emulator.faults.add(fault)
    path, fields = (OPEN, {}) if method == "GET" else ("/v3/table/delete/nowhere/none", {"domain_key": "k"})
    assert td.call(method, path, **fields)[0] in (200, 404)
    assert fake_time.slept == [1, 2, 4]
    assert len(emulator.requests) == 4


@pytest.mark.parametrize("fault", [Fault(kind="status", status=502, times=99), Fault(kind="reset", times=99)])
def test_call_that_keeps_failing_ends_after_the_retries(
    emulator: Emulator, served: tuple[Emulator, str], td: TreasureData, fault: Fault
) -> None:
    emulator.faults.add(fault)
    with pytest.raises(TreasureDataError) as caught:
        td.call("GET", OPEN)
    where = served[1].removeprefix("http://").rstrip("/")
    what = (
        "response 502"
        if fault.kind == "status"
        else f"no response (the connection broke: {where} (Connection reset by peer))"
    )
    assert str(caught.value) == f"Treasure Data: {what} to GET {OPEN}, after 4 attempts; run this task again later"
    assert len(emulator.requests) == 4


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asked", "slept"), [("7", 7), ("0", 1), ("soon", 1), ("", 1), ("Thu, 01 Jan 2026 00:00:09 GMT", 9)]
)
def test_requested_wait_is_never_shortened(
    emulator: Emulator, td: TreasureData, fake_time: FakeTime, status: int, asked: str, slept: float
) -> None:
    headers = {"Retry-After": asked, "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    emulator.answer(status, headers=headers)
    td.call("GET", OPEN)
    assert [slept] == fake_time.slept


def test_a_wait_that_is_longer_than_allowed_is_not_begun(
    emulator: Emulator, td: TreasureData, fake_time: FakeTime
) -> None:
    emulator.answer(429, headers={"Retry-After": "301"})
    with pytest.raises(
        TreasureDataError, match=r"asks to wait 5 min 1 s, more than max_retry_wait_millis allows \(5 min\)"
    ):
        td.call("GET", OPEN)
    assert fake_time.slept == []


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (
            401,
            r"check the secret td\.apikey, that TD_API_SERVER is the key's region, and that the account's IP allowlist",
        ),
        (403, r"the permissions Query and Download, and Edit .*, and check that the account's IP allowlist admits"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_key_that_is_refused_is_for_the_workflows_author_with_treasure_datas_words(
    emulator: Emulator, td: TreasureData, status: int, advice: str, streamed: bool
) -> None:
    emulator.answer(status, body='{"error": "error", "text": "no jane@shop.example"}')
    with pytest.raises(WorkflowError, match=rf'{advice}.*response {status} "no <hidden>" to GET') as caught:
        td.open_response("GET", OPEN).__enter__() if streamed else td.call("GET", OPEN)
    assert caught.value.status == status
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("method", "path", "times", "succeeds"),
    [
        ("GET", OPEN, 2, True),
        ("GET", OPEN, 3, False),
        ("POST", "/v3/table/delete/nowhere/none", 1, False),
    ],
)
def test_a_key_that_worked_before_is_tried_twice_more_by_a_request_that_reads(
    emulator: Emulator,
    td: TreasureData,
    fake_time: FakeTime,
    status: int,
    method: str,
    path: str,
    times: int,
    succeeds: bool,
) -> None:
    td.call("GET", OPEN)
    emulator.answer(status, times=times)
    if succeeds:
        assert td.call(method, path)[0] == 200
    else:
        with pytest.raises(WorkflowError, match=f"response {status}"):
            td.call(method, path)
    assert fake_time.slept == ([1, 2] if method == "GET" else [])


def test_time_limit_ends_calls_waits_and_requests_without_an_answer(
    emulator: Emulator, td: TreasureData, fake_time: FakeTime
) -> None:
    limited = td.with_time_limit(0.3)
    emulator.faults.add(Fault(kind="stall"), Fault(kind="status", status=503))
    for complaint in ("no byte of the response", "response 503 to GET"):
        with pytest.raises(TreasureDataError, match=complaint):
            limited.call("GET", OPEN)
    with pytest.raises(TreasureDataError, match="within the time limit"):
        limited.sleep(0.4)
    assert fake_time.slept == []
    assert td.call("GET", OPEN)[0] == 200


@pytest.mark.parametrize(
    ("status", "kind", "advice"),
    [
        (302, WorkflowError, "redirects are not followed: check TD_API_SERVER, and a proxy that may respond"),
        (400, WorkflowError, "repeating the request does not help: correct the name in its path"),
        (422, WorkflowError, "repeating the request does not help: correct the name in its path"),
        (206, TreasureDataError, "run this task again later"),
    ],
)
def test_any_other_response_is_final_with_advice_by_its_status_and_masked_text(
    emulator: Emulator, td: TreasureData, status: int, kind: type[ExportError], advice: str
) -> None:
    text = '{"error": "%s person@shop.example"}' % ("x" * 280)
    emulator.answer(status, body=text, headers={"Location": "http://127.0.0.1:9/"})
    with pytest.raises(ExportError) as caught:
        td.call("GET", OPEN)
    assert (kind, status) == (type(caught.value), caught.value.status)
    assert f'response {status} "xxx' in str(caught.value)
    assert advice in str(caught.value)
    assert ("later" in str(caught.value)) == (kind is TreasureDataError)
    assert "person" not in str(caught.value)
    assert len(emulator.requests) == 1


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        ({"text": "a", "message": "b", "error": "c"}, "a"),
        ({"message": "b", "error": "c"}, "b"),
        ({"text": "", "error": "c"}, "c"),
        ({}, ""),
        ({"error": "phone = '+49 170 1234567'"}, "phone = '<hidden>'"),
        ({"error": f"{'x' * 290} 12025550101"}, f"{'x' * 290} <hidden>"),
        ({"error": "near erika.muster%2540x.example"}, "near <hidden>"),
        ({"error": "line 12:8: customers_20260101"}, "line 12:8: customers_20260101"),
    ],
)
def test_text_of_a_refusal_shows_nothing_that_may_be_a_persons(
    emulator: Emulator, td: TreasureData, body: dict[str, str], quoted: str
) -> None:
    emulator.answer(422, body=json.dumps(body))
    with pytest.raises(WorkflowError) as caught:
        td.call("GET", OPEN)
    assert quoted == str(caught.value).split('"')[1]


@pytest.mark.parametrize("body", ["", "no JSON", "[1]", '"x"', "\x00"])
def test_response_without_a_json_object_is_empty(emulator: Emulator, td: TreasureData, body: str) -> None:
    emulator.answer(200, body=body)
    assert td.call("GET", OPEN) == (200, {})


@pytest.mark.parametrize("status", [429, 500])
def test_opened_response_is_not_requested_again(
    emulator: Emulator, td: TreasureData, fake_time: FakeTime, status: int
) -> None:
    emulator.answer(status, headers={"Retry-After": "9"})
    with pytest.raises(TemporaryError) as caught:
        td.open_response("GET", OPEN).__enter__()
    assert (caught.value.retry_after, str(caught.value)) == (9.0, f"response {status}")
    assert fake_time.slept == []


UNTRUSTED = "certificate verify failed"


@pytest.mark.parametrize(
    ("failure", "words", "error", "advice", "waits"),
    [
        (Failure.TLS, "bad record mac", TreasureDataError, "bad record mac.*, after 4 attempts", 3),
        (Failure.TLS, UNTRUSTED, TreasureDataError, r"its file in REQUESTS_CA_BUNDLE or SSL_CERT_FILE$", 0),
        (Failure.OVERSIZED, "", TreasureDataError, r"is larger than 8 MB: .*, to GET /v3/", 0),
        (Failure.UNUSABLE, "", SettingsError, r"check TD_API_SERVER, the proxy .* \(REQUESTS_CA_BUNDLE or", 0),
    ],
)
def test_failure_that_a_retry_does_not_cure_is_an_error_at_once(
    td: TreasureData,
    fake_time: FakeTime,
    monkeypatch: pytest.MonkeyPatch,
    failure: Failure,
    words: str,
    error: type[Exception],
    advice: str,
    waits: int,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise NoResponseError(failure, f": api.treasuredata.test:443 ({words})")

    monkeypatch.setattr(Transport, "open_response", fail)
    with pytest.raises(error, match=advice):
        td.call("GET", OPEN)
    assert len(fake_time.slept) == waits


def test_logger_of_td_client_stays_quiet(
    emulator: Emulator, td: TreasureData, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.answer(500, body="person@shop.example")
    td.call("GET", OPEN)
    assert logging.getLogger("tdclient").getEffectiveLevel() >= logging.ERROR
    assert [record for record in caplog.records if record.name.startswith("tdclient")] == []
