"""One call to Treasure Data, retried until it succeeds or the retries are used up."""

import urllib.parse
from dataclasses import replace

import pytest

from td_pinterest_op.errors import TreasureDataError, WorkflowError
from td_pinterest_op.http.transport import Failure, NoResponseError, Response
from td_pinterest_op.treasure_data.td_api import TemporaryError, TreasureData, build_v3_path
from tests.clock import FakeTime
from tests.unit.scripted import Script, answer, describe_td

OPEN = "/v3/system/server_status"
DELETE = "/v3/table/delete/nowhere/none"


def td(*answers: Response | Failure, endpoint: str = "https://td.test") -> tuple[TreasureData, Script, FakeTime]:
    """A client between a script, which ends with a success, and a clock that does not wait."""
    time = FakeTime()
    script = Script(time, [*answers, answer()])
    made = TreasureData(**describe_td(time, retries=3, transport=script) | {"endpoint": endpoint})
    return made, script, time


@pytest.mark.parametrize("ending", ["", "/", "//"])
def test_an_endpoint_may_end_in_a_slash_or_not(ending: str) -> None:
    client, script, _ = td(endpoint=f"https://td.test{ending}")
    client.call("GET", OPEN)
    assert [sent.url for sent in script.sent] == [f"https://td.test{OPEN}"]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("job", "show", "5"), "/v3/job/show/5"),
        (("job", "issue", "presto", "../../database/delete/x"), "/v3/job/issue/presto/..%2F..%2Fdatabase%2Fdelete%2Fx"),
        (("job", "a?b#c%d é"), "/v3/job/a%3Fb%23c%25d%20%C3%A9"),
    ],
)
def test_each_part_of_a_path_is_quoted_whole(parts: tuple[str, ...], expected: str) -> None:
    assert build_v3_path(*parts) == expected


def test_post_sends_its_fields_and_a_404_is_returned() -> None:
    client, script, _ = td(answer(404))
    status, _ = client.call("POST", "/v3/job/issue/presto/nowhere", query="select 'ä'", domain_key="k")
    assert status == 404
    (sent,) = script.sent
    assert dict(urllib.parse.parse_qsl(sent.text)) == {"query": "select 'ä'", "domain_key": "k"}


@pytest.mark.parametrize(("method", "path", "fields"), [("GET", OPEN, {}), ("POST", DELETE, {"domain_key": "k"})])
@pytest.mark.parametrize("failure", [*map(answer, (408, 421, 423, 425, 429, 500, 503)), Failure.BROKEN])
def test_a_call_that_fails_for_a_moment_is_repeated_with_doubling_waits(
    failure: Response | Failure, method: str, path: str, fields: dict[str, str]
) -> None:
    client, script, time = td(*[failure] * 3)
    assert client.call(method, path, **fields)[0] == 200
    assert (time.slept, len(script.sent)) == ([1, 2, 4], 4)


@pytest.mark.parametrize(
    ("failure", "what"), [(answer(502), "response 502"), (Failure.BROKEN, "no response (the connection broke)")]
)
def test_call_that_keeps_failing_ends_after_the_retries(failure: Response | Failure, what: str) -> None:
    client, script, _ = td(*[failure] * 4)
    with pytest.raises(TreasureDataError) as caught:
        client.call("GET", OPEN)
    assert str(caught.value) == f"Treasure Data: {what} to GET {OPEN}, after 4 attempts. Run this task again later"
    assert len(script.sent) == 4


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asked", "slept"), [("7", 7), ("0", 1), ("soon", 1), ("", 1), ("Thu, 01 Jan 2026 00:00:09 GMT", 9)]
)
def test_requested_wait_is_never_shortened(status: int, asked: str, slept: float) -> None:
    client, _, time = td(answer(status, headers={"Retry-After": asked, "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}))
    client.call("GET", OPEN)
    assert time.slept == [slept]


def test_a_wait_that_is_longer_than_allowed_is_not_begun() -> None:
    client, _, time = td(answer(429, headers={"Retry-After": "61"}))
    with pytest.raises(
        TreasureDataError, match=r"asks to wait 1 min 1 s, more than max_retry_wait_millis allows \(1 min\)"
    ):
        client.call("GET", OPEN)
    assert time.slept == []


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (
            401,
            r"Check the secret td\.apikey, that TD_API_SERVER is the key's region, and that the account's IP allowlist",
        ),
        (403, r"the permissions Query and Download, and Edit .*, and check that the account's IP allowlist admits"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_key_that_is_refused_is_for_the_workflows_author_with_treasure_datas_words(
    status: int, advice: str, streamed: bool
) -> None:
    client, script, _ = td(answer(status, {"error": "error", "text": "no jane@shop.example"}))
    with pytest.raises(WorkflowError, match=rf'response {status} "no <hidden>" to GET.*{advice}') as caught:
        client.open_response("GET", OPEN).__enter__() if streamed else client.call("GET", OPEN)
    assert caught.value.status == status
    assert len(script.sent) == 1


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("method", "path", "times", "succeeds"),
    [
        ("GET", OPEN, 2, True),
        ("GET", OPEN, 3, False),
        ("POST", DELETE, 1, False),
    ],
)
def test_a_key_that_worked_before_is_tried_twice_more_by_a_request_that_reads(
    status: int, method: str, path: str, times: int, succeeds: bool
) -> None:
    client, _, time = td(answer(), *[answer(status)] * times)
    client.call("GET", OPEN)
    if succeeds:
        assert client.call(method, path)[0] == 200
    else:
        with pytest.raises(WorkflowError, match=f"response {status}"):
            client.call(method, path)
    assert time.slept == ([1, 2] if method == "GET" else [])


def test_time_limit_ends_calls_waits_and_requests_without_an_answer() -> None:
    client, _, time = td(Failure.READ_TIMEOUT, answer(503))
    limited = client.without_retries(0.3)
    for complaint in ("no byte of the response", "response 503 to GET"):
        with pytest.raises(TreasureDataError, match=complaint):
            limited.call("GET", OPEN)
    with pytest.raises(TreasureDataError, match="within the time limit"):
        limited.sleep(0.4)
    assert time.slept == []
    assert client.call("GET", OPEN)[0] == 200


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (302, "Redirects are not followed: check TD_API_SERVER, and a proxy that may respond"),
        (400, "Repeating the request does not help: correct the name in its path"),
        (206, "Repeating the request does not help"),
    ],
)
def test_any_other_response_is_final_with_advice_and_masked_text(status: int, advice: str) -> None:
    content = {"error": f"{'x' * 280} person@shop.example"}
    client, script, _ = td(answer(status, content, {"Location": "http://127.0.0.1:9/"}))
    with pytest.raises(WorkflowError) as caught:
        client.call("GET", OPEN)
    assert caught.value.status == status
    assert f'response {status} "xxx' in str(caught.value)
    assert advice in str(caught.value)
    assert "person" not in str(caught.value)
    assert len(script.sent) == 1


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
def test_text_of_a_refusal_shows_nothing_that_may_be_a_persons(body: dict[str, str], quoted: str) -> None:
    client, _, _ = td(answer(422, body))
    with pytest.raises(WorkflowError) as caught:
        client.call("GET", OPEN)
    assert quoted == str(caught.value).split('"')[1]


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[1]", b'"x"', b"\x00"])
def test_response_without_a_json_object_is_empty(body: bytes) -> None:
    client, _, _ = td(replace(answer(), body=body))
    assert client.call("GET", OPEN) == (200, {})


@pytest.mark.parametrize("status", [429, 500])
def test_opened_response_is_not_requested_again(status: int) -> None:
    client, _, time = td(answer(status, headers={"Retry-After": "9"}))
    with pytest.raises(TemporaryError) as caught:
        client.open_response("GET", OPEN).__enter__()
    assert (caught.value.retry_after, str(caught.value)) == (9.0, f"response {status}")
    assert time.slept == []


UNTRUSTED = "certificate verify failed"


@pytest.mark.parametrize(
    ("failure", "words", "error", "advice", "waits"),
    [
        (Failure.TLS, "bad record mac", TreasureDataError, "bad record mac.*, after 4 attempts", 3),
        (Failure.UNTRUSTED, UNTRUSTED, WorkflowError, r"its file in REQUESTS_CA_BUNDLE or SSL_CERT_FILE$", 0),
        (Failure.OVERSIZED, "", TreasureDataError, r"is larger than 8 MB: .* to GET /v3/.*, after 4 attempts", 3),
        (Failure.UNUSABLE, "", WorkflowError, r"Check TD_API_SERVER, the proxy .* REQUESTS_CA_BUNDLE or", 0),
    ],
)
def test_failure_that_a_retry_does_not_cure_is_an_error_at_once(
    monkeypatch: pytest.MonkeyPatch,
    failure: Failure,
    words: str,
    error: type[Exception],
    advice: str,
    waits: int,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise NoResponseError(failure, f": api.treasuredata.test:443 ({words})")

    client, _, time = td()
    monkeypatch.setattr(Script, "open_response", fail)
    with pytest.raises(error, match=advice):
        client.call("GET", OPEN)
    assert len(time.slept) == waits
